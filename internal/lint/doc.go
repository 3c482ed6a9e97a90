// Package lint holds the project's own rules as tests: which package may import
// which (imports_test.go), package comments, file lengths, words that nothing
// committed may contain. It has no code of its own; run it with go test.
package lint
