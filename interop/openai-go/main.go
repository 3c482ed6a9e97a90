// Command openai-go checks the official OpenAI client for Go, unchanged, against
// dlm serve: a line a check, exit code 1 when one does not hold. It is a module of
// its own, so that dlm has no part of the client.
//
//	usage: go run . http://127.0.0.1:8080/v1
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

var failed bool

func check(name string, ok bool, detail any) {
	word := "ok  "
	if !ok {
		word, failed = "FAIL", true
	}
	fmt.Printf("%s  %s: %.100v\n", word, name, detail)
}

func main() {
	c := openai.NewClient(option.WithBaseURL(os.Args[1]), option.WithAPIKey("unused"), option.WithMaxRetries(0))
	ctx := context.Background()
	models(ctx, &c)
	text := chat(ctx, &c)
	stream(ctx, &c, text)
	schema(ctx, &c)
	completion(ctx, &c)
	refusals(ctx, &c)
	if failed {
		os.Exit(1)
	}
}

func ask(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: model, MaxTokens: openai.Int(24), Temperature: openai.Float(0),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("I lost my card yesterday. What should I do?")},
	}
}

func models(ctx context.Context, c *openai.Client) {
	var ids []string
	pager := c.Models.ListAutoPaging(ctx)
	for pager.Next() {
		ids = append(ids, pager.Current().ID)
	}
	check("models", pager.Err() == nil && len(ids) == 2, ids)
}

func chat(ctx context.Context, c *openai.Client) string {
	p := ask("base")
	p.Logprobs, p.TopLogprobs = openai.Bool(true), openai.Int(2)
	r, err := c.Chat.Completions.New(ctx, p)
	if err != nil {
		check("chat", false, err)
		return ""
	}
	told := r.Choices[0].Logprobs.Content
	check("chat", r.Choices[0].Message.Content != "" && len(told) == int(r.Usage.CompletionTokens) && len(told[0].TopLogprobs) == 2, r.Choices[0].Message.Content)
	other, err := c.Chat.Completions.New(ctx, ask("bank"))
	check("an adapter by its name", err == nil && other.Choices[0].Message.Content != r.Choices[0].Message.Content, err)
	return r.Choices[0].Message.Content
}

func stream(ctx context.Context, c *openai.Client, text string) {
	p := ask("base")
	p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	s := c.Chat.Completions.NewStreaming(ctx, p)
	acc := openai.ChatCompletionAccumulator{}
	for s.Next() {
		acc.AddChunk(s.Current())
	}
	ok := s.Err() == nil && len(acc.Choices) == 1 && acc.Choices[0].Message.Content == text && acc.Usage.CompletionTokens > 0
	check("a stream is the whole", ok, s.Err())
}

func schema(ctx context.Context, c *openai.Client) {
	p := ask("base")
	p.MaxTokens = openai.Int(80)
	p.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
		JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "m", Strict: openai.Bool(true), Schema: map[string]any{
			"type": "object", "properties": map[string]any{"kind": map[string]any{"enum": []string{"card", "loan"}}, "urgent": map[string]any{"type": "boolean"}},
			"required": []string{"kind", "urgent"}, "additionalProperties": false,
		}},
	}}
	r, err := c.Chat.Completions.New(ctx, p)
	if err != nil {
		check("a JSON schema", false, err)
		return
	}
	var got struct {
		Kind   string
		Urgent *bool
	}
	err = json.Unmarshal([]byte(r.Choices[0].Message.Content), &got)
	check("a JSON schema", err == nil && (got.Kind == "card" || got.Kind == "loan") && got.Urgent != nil, r.Choices[0].Message.Content)
}

func completion(ctx context.Context, c *openai.Client) {
	r, err := c.Completions.New(ctx, openai.CompletionNewParams{
		Model: "base", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("Once upon")},
		MaxTokens: openai.Int(4), Temperature: openai.Float(0), Logprobs: openai.Int(1), Echo: openai.Bool(true),
	})
	check("completions with echo", err == nil && strings.HasPrefix(r.Choices[0].Text, "Once upon") && len(r.Choices[0].Logprobs.TokenLogprobs) > 4, err)
}

func refusals(ctx context.Context, c *openai.Client) {
	refused := func(name string, status int, err error) {
		var e *openai.Error
		check(name, errors.As(err, &e) && e.StatusCode == status && e.Message != "", err)
	}
	_, err := c.Chat.Completions.New(ctx, ask("bnak"))
	refused("an unknown model", 404, err)
	p := ask("base")
	p.Temperature = openai.Float(-1)
	_, err = c.Chat.Completions.New(ctx, p)
	refused("a temperature below zero", 400, err)
	_, err = c.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: "base", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("hello")}})
	refused("embeddings of a model that makes none", 400, err)
}
