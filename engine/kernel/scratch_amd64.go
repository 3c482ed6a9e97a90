package kernel

// archScratch holds the argument blocks of assembly: not on the stack, because
// the functions are called through pointers.
type archScratch struct {
	args  tileArgs
	dec   decodeArgs
	tiles tileJob
	nest  nestedArgs
	index [panelCols]uint32 // of nest
	queue [queueSpans]span  // of args
}
