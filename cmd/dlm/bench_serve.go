package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"dlm/serve/load"
)

// benchServeCmd puts load on a server.
type benchServeCmd struct {
	URL       string   `help:"Server to ask, OpenAI's API (default: dlm serve, started here for the project)." placeholder:"URL"`
	APIKeyEnv string   `help:"Variable that holds the key." placeholder:"VAR"`
	Models    []string `help:"Models to ask for, the most popular first (default: all that the server lists)." placeholder:"NAME,..."`
	Zipf      float64  `default:"0" help:"Model k of the list is asked for in proportion to 1/k^S; 0: all alike." placeholder:"S"`
	InTurn    bool     `help:"Ask for the models one after the other instead of drawing them."`
	Body      []string `help:"JSON object of further fields of a request, of one model's when MODEL= stands before it. May be given several times." placeholder:"[MODEL=]JSON" sep:"none"`

	Prompts      []string   `help:"JSON lines with messages or prompt, such as a golden set; of one model's requests when MODEL= stands before it. May be given several times (default: random token ids)." placeholder:"[MODEL=]FILE" sep:"none"`
	PromptTokens load.Range `default:"64" help:"Length of random prompts: 64, or 32-128." placeholder:"N"`
	Vocab        int        `default:"32000" help:"Random prompts take ids below it." placeholder:"N"`
	MaxTokens    load.Range `default:"64" help:"Tokens of a completion: 64, or 32-128." placeholder:"N"`
	IgnoreEOS    bool       `name:"ignore-eos" help:"Ask for completions of full length (dlm, vLLM, llama.cpp)."`
	Temperature  float64    `default:"0" help:"0: greedy." placeholder:"T"`
	Whole        bool       `help:"Ask for whole answers instead of streams; there is no TTFT and ITL then."`

	Concurrency int           `help:"Closed loop: requests under way (default: 8, without --rate)." placeholder:"N"`
	Rate        float64       `help:"Open loop: requests a second, Poisson arrivals." placeholder:"R"`
	Requests    int           `help:"Requests in all." placeholder:"N"`
	Duration    time.Duration `help:"Time in which requests are sent (default: 30s, without --requests)." placeholder:"TIME"`
	Ramp        time.Duration `help:"Leave the first part out of the report." placeholder:"TIME"`
	WarmUp      int           `default:"1" help:"Requests for each model before the clock starts, not reported." placeholder:"N"`
	Timeout     time.Duration `default:"120s" help:"Time that one request may take."`
	SLOTTFT     time.Duration `name:"slo-ttft" help:"Goodput: the first text within this time." placeholder:"TIME"`
	SLOITL      time.Duration `name:"slo-itl" help:"Goodput: a token after the first within this time, on average of a request." placeholder:"TIME"`
	Seed        uint64        `help:"Of arrivals, models, prompts and lengths (default: drawn, and printed)." placeholder:"N"`
	Strict      bool          `help:"Exit code 1 when a request failed."`
}

func (c *benchServeCmd) Run(a *app) error {
	p, err := c.plan()
	if err != nil {
		return err
	}
	s := &load.Server{URL: c.URL, Whole: c.Whole, Temperature: c.Temperature, IgnoreEOS: c.IgnoreEOS, Timeout: c.Timeout}
	if c.APIKeyEnv != "" {
		if s.Key = os.Getenv(c.APIKeyEnv); s.Key == "" {
			return usageError("--api-key-env: the variable %s is empty; expected the key in it", c.APIKeyEnv)
		}
	}
	if s.URL == "" {
		if s.URL, err = a.startServer(); err != nil {
			return err
		}
	}
	if len(p.Models) == 0 {
		if p.Models, err = s.Models(a.ctx); err != nil {
			return fmt.Errorf("asking for the models: %w", err)
		}
	}
	a.notef("%s: %s; seed %d", s.URL, strings.Join(p.Models, ", "), p.Seed)
	every := time.Now()
	r, err := load.Run(a.ctx, s, p, func(now load.Progress) {
		if time.Since(every) >= 5*time.Second {
			every = time.Now()
			a.notef("%d sent, %d answered, %d failed, %d under way", now.Sent, now.Done-now.Failed, now.Failed, now.Running)
		}
	})
	if r == nil {
		return err
	}
	a.finish(r, func() {
		if err := r.WriteText(a.stdout); err != nil {
			a.notef("writing the report: %v", err)
		}
	})
	switch {
	case err != nil:
		return err
	case c.Strict && r.Failed > 0:
		return &exitError{code: exitFailed}
	case r.Requests > 0 && r.Failed == r.Requests:
		return fmt.Errorf("every request failed: %s: %s", r.Errors[0].Kind, r.Errors[0].Example)
	}
	return nil
}

// plan makes the load's plan from the flags.
func (c *benchServeCmd) plan() (*load.Plan, error) {
	if c.Rate > 0 && c.Concurrency > 0 {
		return nil, usageError("--rate and --concurrency: expected one of them; a rate is an open loop, a number under way a closed one")
	}
	p := &load.Plan{
		Models: c.Models, Zipf: c.Zipf, InTurn: c.InTurn, Bodies: map[string]map[string]any{}, Prompts: map[string][]load.Prompt{},
		PromptLen: c.PromptTokens, Vocab: c.Vocab, MaxTokens: c.MaxTokens,
		Concurrency: c.Concurrency, Rate: c.Rate, Requests: c.Requests, Duration: c.Duration, Ramp: c.Ramp, WarmUp: c.WarmUp,
		Bounds: load.Bounds{TTFT: c.SLOTTFT, ITL: c.SLOITL}, Seed: c.Seed,
	}
	if c.Rate <= 0 && c.Concurrency <= 0 {
		p.Concurrency = 8
	}
	if c.Requests <= 0 && c.Duration <= 0 {
		p.Duration = 30 * time.Second
	}
	if p.Seed == 0 {
		p.Seed = rand.Uint64N(1 << 32)
	}
	for _, text := range c.Body {
		model, rest := "", text
		if !strings.HasPrefix(text, "{") {
			model, rest, _ = strings.Cut(text, "=")
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(rest), &fields); err != nil {
			return nil, usageError("--body %s: %w; expected a JSON object, or MODEL= before one", text, err)
		}
		p.Bodies[model] = fields
	}
	for _, text := range c.Prompts {
		model, file, ok := strings.Cut(text, "=")
		if !ok {
			model, file = "", text
		}
		if err := needFile("--prompts", file); err != nil {
			return nil, err
		}
		prompts, err := readPrompts(file)
		if err != nil {
			return nil, fmt.Errorf("--prompts: %s: %w", file, err)
		}
		p.Prompts[model] = append(p.Prompts[model], prompts...)
	}
	return p, nil
}

func readPrompts(file string) ([]load.Prompt, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return load.ReadPrompts(f)
}
