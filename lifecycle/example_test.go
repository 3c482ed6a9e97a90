package lifecycle_test

import (
	"fmt"

	"dlm/lifecycle"
)

// An unknown field is refused with its place and the nearest known name.
func ExampleParse() {
	_, err := lifecycle.Parse("dlm.yaml", []byte("gate:\n  max_dorp: 2pp\n"), nil)
	fmt.Println(err)
	// Output:
	// dlm.yaml:2:3: gate.max_dorp: unknown field; expected one of baseline, max_drop, level, on_inconclusive; did you mean max_drop?
	//     2 |   max_dorp: 2pp
	//       |   ^
}
