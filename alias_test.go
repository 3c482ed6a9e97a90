package dlm

import "testing"

func TestParseAlias(t *testing.T) {
	for _, c := range []struct{ in, name, alias string }{
		{"prod", "", "prod"}, {"support@prod", "support", "prod"}, {"Bank-Support_2@canary", "Bank-Support_2", "canary"},
		{"owner/name@main@prod", "owner/name@main", "prod"}, {"Ümlaut@v1.2", "Ümlaut", "v1.2"},
	} {
		name, alias, err := ParseAlias(c.in)
		if err != nil || name != c.name || alias != c.alias || ScopedAlias(name, alias) != c.in {
			t.Errorf("%q: %q, %q, %v", c.in, name, alias, err)
		}
	}
	for _, in := range []string{"", "@", "@prod", "x@", "Prod", "x@Prod", "a b@prod", "a\n@prod", "x@pro d", "-x"} {
		if name, alias, err := ParseAlias(in); err == nil {
			t.Errorf("%q was taken for %q, %q", in, name, alias)
		}
	}
}
