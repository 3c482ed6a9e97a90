package kernel

// Sizes of a worker's scratch memory. Weights are decoded in chunks that fit;
// a chain continues through the destination, so chunks do not change bits.
const (
	chunkK    = 384 // k per decoded chunk of a panel (a multiple of 32)
	chunkN    = 384 // rows of W per decoded, transposed chunk (a multiple of 64)
	chunkWide = max(chunkK, chunkN)
	tileRows  = 16 // most rows of a register tile
	scaleRows = 64 // most rows of 64 scales or minima of a decoded chunk
)

// scratch is a worker's private memory.
type scratch struct {
	w, w2 []byte    // decoded weights: chunk x 64 values of 4 bytes, of 2 bytes
	a     []float32 // widened left-hand rows (sets without bf16 multiply): tileRows x chunk
	scale []float32 // scaleRows x 64: scales of grouped formats as f32
	low   []float32 // a low-rank share before it is rounded; grown to the largest rank
	panel []float32 // rows x 64: a panel's columns of the destination; grown to the most rows of a task
	edge  []float32 // tileRows x 64: destination of columns that end within a vector
	sums  []float32 // [M, K/32] sums of the left side of a few rows; grown to the largest

	// The tasks at hand: kept here so that they are not allocated.
	mul     panelTask
	mulT    panelTTask
	outer   outerArgs
	ahead   ahead
	streams streams
	archScratch
}

func (s *scratch) init() {
	s.w = alignedBytes(chunkWide * panelCols * 4)
	s.w2 = alignedBytes(chunkWide * panelCols * 2)
	s.a = alignedF32(tileRows * chunkWide)
	s.scale = alignedF32(scaleRows * panelCols)
	s.edge = alignedF32(tileRows * panelCols)
}

// columns is memory for the columns of a panel, rows x 64 without gaps.
func (s *scratch) columns(rows int) []float32 {
	if cap(s.panel) < rows*panelCols {
		s.panel = alignedF32(rows * panelCols)
	}
	return s.panel[:rows*panelCols]
}
