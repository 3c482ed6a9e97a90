package card

import "strings"

// licences are words by which the text of a licence is known, and what the Hub
// calls it. Longer ones come before those that they begin with.
var licences = []struct{ words, id string }{
	{"apache license version 2.0", "apache-2.0"},
	{"community data license agreement – permissive – version 2.0", "cdla-permissive-2.0"},
	{"community data license agreement – permissive – version 1.0", "cdla-permissive-1.0"},
	{"community data license agreement – sharing – version 1.0", "cdla-sharing-1.0"},
	{"attribution-noncommercial-sharealike 4.0 international", "cc-by-nc-sa-4.0"},
	{"attribution-noncommercial-noderivatives 4.0 international", "cc-by-nc-nd-4.0"},
	{"attribution-noncommercial 4.0 international", "cc-by-nc-4.0"},
	{"attribution-sharealike 4.0 international", "cc-by-sa-4.0"},
	{"attribution-noderivatives 4.0 international", "cc-by-nd-4.0"},
	{"attribution 4.0 international", "cc-by-4.0"},
	{"cc0 1.0 universal", "cc0-1.0"},
	{"open data commons attribution license", "odc-by"},
	{"open database license", "odbl"},
	{" mit license", "mit"},
}

// Licence reads the first words of a licence's text: its name for people, and
// what the Hub calls it, empty where it is not known.
func Licence(text string) (name, id string) {
	for _, l := range strings.Split(text, "\n") {
		if name = strings.Trim(l, " \t\r#=-*"); name != "" {
			break
		}
	}
	head := strings.NewReplacer("-", "–", ",", "").Replace(strings.ToLower(text[:min(len(text), 800)]))
	head = " " + strings.Join(strings.Fields(head), " ")
	for _, l := range licences {
		if strings.Contains(head, strings.ReplaceAll(l.words, "-", "–")) {
			return name, l.id
		}
	}
	return name, ""
}
