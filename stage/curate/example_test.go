package curate_test

import (
	"fmt"
	"os"
	"path/filepath"

	"dlm/stage/curate"
)

// A broken line is named, and costs no other row.
func ExampleRead() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chdir(dir); err != nil {
		panic(err)
	}
	text := `{"question": "Where is my card?", "answer": "card_arrival"}
{"question": "Is this fee right?", "answer": }
{"question": "My PIN is blocked", "answer": "pin_blocked"}
`
	if err := os.WriteFile(filepath.Join(dir, "rows.jsonl"), []byte(text), 0o644); err != nil {
		panic(err)
	}
	d, err := curate.Detect("rows.jsonl")
	fmt.Println(d, err)
	rows, err := curate.Read("rows.jsonl", curate.Options{})
	fmt.Println(len(rows), "rows")
	fmt.Println(err)
	// Output:
	// pairs, JSONL (prompt "question", completion "answer") <nil>
	// 2 rows
	// rows.jsonl:2: is not valid JSON at byte 46: invalid character '}' looking for beginning of value; expected one JSON object on one line; mend or delete this line
	//     ... tion": "Is this fee right?", "answer": }
}
