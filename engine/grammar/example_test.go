package grammar_test

import (
	"fmt"

	"dlm/engine/grammar"
)

func Example() {
	g, err := grammar.JSONSchema([]byte(`{"enum": ["card", "loan"]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	// Ids 0 to 5; the last one ends the text.
	v := grammar.NewVocabulary([][]byte{[]byte(`"`), []byte("card"), []byte("lo"), []byte("an"), []byte("x"), nil}, []int32{5}, nil)
	a, err := grammar.New(g, v)
	if err != nil {
		fmt.Println(err)
		return
	}
	m := a.Matcher()
	mask := make([]uint64, 1)
	for _, id := range []int32{0, 2, 3, 0} {
		m.Mask(mask)
		fmt.Printf("%06b ", mask[0])
		m.Advance(id)
	}
	m.Mask(mask)
	fmt.Printf("%06b\n", mask[0])
	// Output: 000001 000110 001000 000001 100000
}
