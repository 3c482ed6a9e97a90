package ceiling

import "golang.org/x/sys/unix"

// memory maps zeroed bytes on huge pages, as packed weights are.
func memory(n int) (b []byte, free func()) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		b, free = make([]byte, n), func() {}
	} else {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
		free = func() { _ = unix.Munmap(b) }
	}
	for i := 0; i < n; i += 4096 {
		b[i] = 1 // a page that was never written is one page of zeros, read from the cache
	}
	return b, free
}
