//go:build !amd64

package ceiling

func multiplyLoop(Unit) (loop func(*loopArgs), flops float64) { return nil, 0 }

func streamLoop(string) func(*loopArgs) { return nil }
