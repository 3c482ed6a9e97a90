package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	lines, err := read(strings.NewReader(`goos: linux
BenchmarkMatMul/avx2/q4min/8x1536x576/threads=1-2         	     412	     34800 ns/op	        80.80 %ceiling	       468.7 GFLOP/s	       580.1 ceiling-GFLOP/s
BenchmarkMatMul/avx2/q4min/8x1536x576/threads=2-2 	 7 	 12 ns/op	 64.48 GFLOP/s
BenchmarkFork/avx2/Run/threads=2 	 9000000 	 84.09 ns/op
PASS
`))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	write(&b, lines)
	want := `| avx2 | threads: 1 | threads: 2 |
|---|---:|---:|
| MatMul q4min 8x1536x576 | 469 GFLOP/s of 580 (81%) | 64.5 GFLOP/s |
| Fork Run |  | 84.1 ns |

`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if _, err := read(strings.NewReader("BenchmarkX/a/b/threads=1 1 x ns/op\n")); err == nil {
		t.Error("a line without a number was read")
	}
}
