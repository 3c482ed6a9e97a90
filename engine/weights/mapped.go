package weights

import (
	"fmt"
	"math"
	"os"
)

// mapped is the content of a file: memory-mapped where the platform can, read
// into memory elsewhere. The file must not be cut short while it is open.
type mapped struct {
	path string
	data []byte
}

// openMapped maps a regular, non-empty file.
func openMapped(path string) (*mapped, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is %s; expected a regular file", path, st.Mode().Type())
	case st.Size() == 0:
		return nil, fmt.Errorf("%s: the file is empty; pull or copy it again", path)
	case st.Size() > math.MaxInt-1<<20:
		return nil, fmt.Errorf("%s: %d bytes are more than this platform can map", path, st.Size())
	}
	data, err := mapFile(f, int(st.Size()))
	if err != nil {
		return nil, fmt.Errorf("%s: cannot map the file: %w", path, err)
	}
	return &mapped{path, data}, nil
}

func (m *mapped) close() error {
	data := m.data
	m.data = nil
	if data == nil {
		return nil
	}
	return unmapFile(data)
}
