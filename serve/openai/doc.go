// Package openai is the wire format of OpenAI's API, with vLLM's additions:
// bodies of requests in, answers, events and errors out. Its main function is
// [DecodeChat].
//
// A field that is not known is refused, and so is one that would change the
// answer and is not supported: a client never gets an answer to another question
// than the one it asked. What can be left out without another answer is
// accepted and left out. docs/API.md has the table.
//
// The package knows neither HTTP nor engines; requests become
// [dlm.GenerateRequest].
package openai
