// Package grammar says which tokens may come next when a completion must be
// JSON, JSON that a schema accepts, a text that an expression matches, or one of
// several texts. Its main functions are [JSONSchema], [JSONObject], [Regex] and
// [Choices], which make a [Grammar]; [New] joins one to a [Vocabulary], and each
// completion has its own [Matcher].
//
// A grammar is a program over bytes (program.go): bytes to take, branches, calls
// of rules (a schema may refer to itself) and loops that count. What a text
// could be at a place is a set of places in the program, each with its stack of
// calls and counts. Such sets are states of an automaton that is made as texts
// reach them and kept (automaton.go); a state's mask comes from one walk through
// the vocabulary as a tree of bytes, and is kept too (vocabulary.go).
//
// From every place that is kept the text can be ended: branches that cannot be
// are left out by program.need. So a model that chooses among allowed tokens is
// never stuck, except where the vocabulary cannot spell what must come.
//
// # JSON
//
// Properties come in the schema's order, others behind them. A space, or a
// newline with at most 20 spaces, may follow "{", "[" and ",", and stand before
// "}" and "]" of what is not empty; a space may follow ":". There is no other
// white space, so a model cannot get lost in it. An object that lists properties
// and does not speak of others has no others; an array that lists its first items
// and does not speak of others has no others. Integers are those of 64 bits
// unless bounds say more; other numbers have at most 19 digits before the point,
// 17 behind it and two in the exponent, and no exponent where there are bounds.
//
// What a schema says and this package cannot enforce is an error that names the
// place; nothing is left out in silence.
//
// The package must not know models, sampling or requests.
package grammar
