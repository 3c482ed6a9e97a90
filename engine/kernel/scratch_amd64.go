package kernel

// archScratch holds the argument blocks of assembly: not on the stack, because
// the functions are called through pointers.
type archScratch struct {
	args   tileArgs
	dec    decodeArgs
	tiles  tileJob
	nest   nestedArgs
	attend attendArgs
	index  [panelCols]uint32 // of nest
	queue  [queueSpans]Span  // of args
}
