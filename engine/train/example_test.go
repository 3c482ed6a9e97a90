package train

import (
	"strings"
	"testing"
)

func TestExamplesThatCannotBeTrained(t *testing.T) {
	good := Example{ID: "good", IDs: []int32{1, 2, 3}, Mask: []bool{false, true, true}}
	for _, c := range []struct {
		name string
		e    Example
		want string
	}{
		{"first token in the loss", Example{IDs: []int32{1, 2}, Mask: []bool{true, true}}, "first token"},
		{"nothing in the loss", Example{IDs: []int32{1, 2}, Mask: []bool{false, false}}, "mask is empty"},
		{"no tokens", Example{}, "mask is empty"},
		{"mask too short", Example{IDs: []int32{1, 2}, Mask: []bool{false}}, "mask of 1"},
		{"too long", Example{IDs: make([]int32, 9), Mask: append(make([]bool, 8), true)}, "max_len 8"},
		{"unknown id", Example{IDs: []int32{1, 50}, Mask: []bool{false, true}}, "vocabulary of 50"},
		{"negative id", Example{IDs: []int32{-1, 5}, Mask: []bool{false, true}}, "vocabulary of 50"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.e.ID = "row-7"
			err := checkExamples("training", []Example{good, c.e}, 50, 8)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "row-7") || !strings.Contains(err.Error(), "example 2") {
				t.Errorf("error %v; want one that names row-7 and says %q", err, c.want)
			}
		})
	}
	if err := checkExamples("training", []Example{good}, 50, 8); err != nil {
		t.Error(err)
	}
}

func TestDataHashSeesEverything(t *testing.T) {
	base := func() []Example {
		return []Example{{"a", []int32{1, 2}, []bool{false, true}}, {"b", []int32{3, 4}, []bool{false, true}}}
	}
	h := dataHash(base())
	for name, change := range map[string]func([]Example) []Example{
		"a name":       func(d []Example) []Example { d[0].ID = "c"; return d },
		"a token":      func(d []Example) []Example { d[1].IDs[0] = 9; return d },
		"a mask":       func(d []Example) []Example { d[1].Mask[0] = true; return d },
		"the order":    func(d []Example) []Example { d[0], d[1] = d[1], d[0]; return d },
		"a row less":   func(d []Example) []Example { return d[:1] },
		"moved tokens": func(d []Example) []Example { d[0].IDs, d[0].Mask = d[0].IDs[:1], d[0].Mask[:1]; return d },
	} {
		if dataHash(change(base())) == h {
			t.Errorf("%s changes nothing in the hash", name)
		}
	}
	if dataHash(base()) != h {
		t.Error("the hash is not stable")
	}
}

func TestDifferencesNameEverySetting(t *testing.T) {
	was := []field{{"lr", "0.001"}, {"seed", "1"}, {"old", "x"}}
	is := []field{{"lr", "0.0001"}, {"seed", "1"}, {"new", "y"}}
	got := strings.Join(differences(was, is), "; ")
	if want := "lr was 0.001, is 0.0001; old was x and is not a setting any more; new is y and was not a setting"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
