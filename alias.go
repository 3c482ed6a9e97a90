package dlm

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

var aliasWord = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// ParseAlias splits an alias as a store keeps it. "prod" is the whole project's,
// and its name is empty; "NAME@prod" is that of the adapters called NAME.
func ParseAlias(s string) (name, alias string, err error) {
	alias = s
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		name, alias = s[:i], s[i+1:]
		if name == "" || len(name) > 200 || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
			return "", "", fmt.Errorf("alias %q: expected the name of an adapter before the @, such as support@prod", s)
		}
	}
	if !aliasWord.MatchString(alias) {
		return "", "", fmt.Errorf("alias %q: expected lower-case letters, digits, dot, dash or underscore, such as prod or support@prod", s)
	}
	return name, alias, nil
}

// ScopedAlias is the alias of the adapters called name; of the whole project when name is empty.
func ScopedAlias(name, alias string) string {
	if name == "" {
		return alias
	}
	return name + "@" + alias
}
