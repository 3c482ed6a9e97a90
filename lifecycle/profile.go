package lifecycle

import (
	"fmt"
	"slices"
	"strings"

	"dlm"
)

// Profile is a recipe to begin a project with.
type Profile struct {
	Name  string `json:"name"`
	Base  string `json:"base"`
	About string `json:"about"`
}

// Profiles are the recipes that Init knows: QLoRA (arXiv 2305.14314) on one GPU.
var Profiles = []Profile{
	{"qwen2.5-7b-qlora", "hf:Qwen/Qwen2.5-7B-Instruct", "QLoRA on one GPU: base in NF4, rank 16 on all linear layers, trained by TRL, served by vLLM (Apache-2.0)"},
	{"llama-3.1-8b-qlora", "hf:meta-llama/Llama-3.1-8B-Instruct", "the same on Llama 3.1 (its licence must be accepted on the Hub, and HF_TOKEN set)"},
}

// FindProfile looks a profile up by name.
func FindProfile(name string) (Profile, error) {
	names := make([]string, len(Profiles))
	for i, p := range Profiles {
		if names[i] = p.Name; p.Name == name {
			return p, nil
		}
	}
	slices.Sort(names)
	hint := ""
	if h := didYouMean(name, names); h != "" {
		hint = "; " + h
	}
	return Profile{}, fmt.Errorf("profile %q: expected one of %s (dlm init --profile list says more)%s", name, strings.Join(names, ", "), hint)
}

// apply fills in what a profile decides. Epochs are three, as the seed recipe's,
// whatever the number of rows.
func (p Profile) apply(o *InitOptions, f *fill) {
	if o.Base == "" {
		f.Base = p.Base
	}
	f.Profile, f.Epochs = p.Name, 3
}

// memory asks what the written project will need, for its comment.
func (o InitOptions) memory(file, text string) (string, error) {
	if o.Memory == nil {
		return "", nil
	}
	p, err := Parse(file, []byte(text), nil)
	if err != nil {
		return "", err
	}
	return o.Memory(p.Base, p.Recipe(), p.Quantize), nil
}

// MemoryOf says on a line what training takes with a recipe on a base; "" where it
// cannot be told.
type MemoryOf func(base string, r dlm.Recipe, quantize string) string
