// Package chat turns conversations into token ids and a completion mask, by the
// base model's own chat template.
//
// Main function: New compiles a template; Template.Prompt gives the ids that
// serving feeds, Template.Encode the ids and the mask that training uses. Both
// go through one layout of the text (layout.go), so they cannot disagree:
//
//	law   the ids of Encode up to a completion are the ids of Prompt of the
//	      messages before it, to the last id
//
// A completion is the text of an assistant turn and the token that ends the
// turn. It is tokenised apart from its prompt, as a generating model makes it.
// What the template writes after the end-of-turn token (a newline, often) is
// never generated and so not in the loss.
//
// Text inside a message stays text: the strings of special tokens in it are
// marked before the template runs, and become no special tokens.
//
// The package knows roles, ids and masks. It must not know training, files or HTTP.
package chat
