package kernel

// Sizes of a worker's scratch memory. Weights are decoded in chunks that fit;
// a chain continues through the destination, so chunks do not change bits.
const (
	chunkK    = 384 // k per decoded chunk of a panel (a multiple of 32)
	chunkN    = 384 // rows of W per decoded, transposed chunk (a multiple of 64)
	tileRows  = 16  // most rows of a register tile
	chunkWide = max(chunkK, chunkN)
)

// scratch is a worker's private memory.
type scratch struct {
	w     []byte    // decoded weights: chunk x 64 values of 4 bytes
	a     []float32 // widened left-hand rows (sets without bf16 multiply): tileRows x chunk
	edge  []float32 // tileRows x 64: destination of ragged columns
	tile  []float32 // tileRows x 64: block sums in flight
	block []float32 // scales and minima of a block, widened: 2 x 64

	mul   panelTask // the task at hand: kept here so that it is not allocated
	mulT  panelTTask
	outer outerArgs
}

func (s *scratch) init() {
	s.w = alignedBytes(chunkWide * panelCols * 4)
	s.a = alignedF32(tileRows * chunkWide)
	s.edge = alignedF32(tileRows * panelCols)
	s.tile = alignedF32(tileRows * panelCols)
	s.block = alignedF32(2 * panelCols)
}
