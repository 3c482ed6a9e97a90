package grammar

import (
	"math/rand/v2"
	"regexp"
	"testing"
	"unicode/utf8"
)

var regexes = []string{
	`a`, `abc|abd`, `[0-9]{3}-[0-9]{4}`, `(yes|no)(, (yes|no)){0,3}`, `[^a]`, `.{1,5}`, `(?i)straße`, `(?s).{2}`, `\p{Greek}+x?`, `[α-ωé€😀]{1,4}`,
	`(a|ab)(c|bcd)(d*)`, `^\d{1,3}(\.\d{1,3}){3}$`, `(a*)*b`, `(a|a?)+`, `\x{10000}|\x{ffff}`, `[\x{d000}-\x{e000}]`, `$`, `(^a|b)c`, `x*(a$|b)`, `[[:alpha:]_]\w{0,8}`,
}

func TestRegexAgreesWithGo(t *testing.T) {
	for _, expr := range regexes {
		g, err := Regex(expr)
		a := mustNew(t, g, err)
		want := regexp.MustCompile(`\A(?:` + expr + `)\z`)
		r := rand.New(rand.NewPCG(1, 2))
		for range 60 {
			text := walk(t, a, r, 20)
			if !utf8.ValidString(text) || !want.MatchString(text) {
				t.Fatalf("%s: made %q", expr, text)
			}
			// A text near it is taken exactly when Go takes it.
			for range 10 {
				b := []rune(text)
				if len(b) > 0 {
					i := r.IntN(len(b))
					switch r.IntN(3) {
					case 0:
						b[i] = []rune("ab0-é€x😀\n")[r.IntN(9)]
					case 1:
						b = append(b[:i], b[i+1:]...)
					default:
						b = append(b, b[i])
					}
				}
				if near := string(b); accepts(a, near) != want.MatchString(near) {
					t.Fatalf("%s: %q: accepted %v, Go says %v", expr, near, accepts(a, near), want.MatchString(near))
				}
			}
		}
	}
}

func TestRegexRefused(t *testing.T) {
	for _, expr := range []string{`(`, `a)(b`, `(?=a)b`, `\bword\b`, `(?m)^a$`, `a{1001}`, `[^\x00-\x{10ffff}]`, `a$b`, "\xff", `((a{100}){100}){100}`} {
		if g, err := Regex(expr); err == nil {
			if _, err = New(g, shared); err == nil {
				t.Errorf("%q is taken", expr)
			}
		} else {
			t.Log(err)
		}
	}
}

func TestChoices(t *testing.T) {
	list := []string{"yes", "yes, but", "no", "né", "10", "100"}
	g, err := Choices(list)
	a := mustNew(t, g, err)
	r := rand.New(rand.NewPCG(3, 4))
	seen := map[string]bool{}
	for range 300 {
		seen[walk(t, a, r, 100)] = true
	}
	if len(seen) != len(list) {
		t.Errorf("%v", seen)
	}
	for _, s := range list {
		if !seen[s] || !accepts(a, s) {
			t.Errorf("%q is not made", s)
		}
	}
	for _, bad := range [][]string{nil, {""}, {"a", "\xff"}} {
		if _, err := Choices(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
