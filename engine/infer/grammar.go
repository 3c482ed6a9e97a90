package infer

// Grammar says which tokens a completion may go on with: the state of one
// completion on its way through a schema, an expression or a list of choices. It
// belongs to one request and is asked by one goroutine at a time.
type Grammar interface {
	// Mask sets the bits of the tokens that may come next and clears all others,
	// [ceil(V/64)] with token id at bit id%64 of word id/64. Tokens that end the turn are set when the text may end here.
	Mask(allowed []uint64)
	// Advance takes a token. It returns false, and changes nothing, when the token may not come next.
	Advance(id int32) bool
	// Forced appends the tokens that spell what must come next whatever is chosen,
	// in the base's own tokenization; there may be none. They are a guess to be
	// verified, not a rule: the same text can be spelt by other tokens.
	Forced(dst []int32) []int32
	// Mark names the state; Reset goes back to a state named before. So guesses that
	// were wrong are undone.
	Mark() int
	Reset(mark int)
}
