// Package openai answers through any server that speaks OpenAI's API: [New]
// returns an [Engine], which is a dlm.Generator and a dlm.Embedder. Conversations
// go to /chat/completions, plain text and token ids to /completions.
//
// The server renders, tokenizes and spells: tokens have no ids (-1), and an
// adapter is what the server lists as a model. What the protocol cannot say, or
// this server does not understand, is refused and never left out.
//
// The package knows the root ports. It must not know stages, other drivers or
// the command line.
package openai
