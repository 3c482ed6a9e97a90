//go:build unix

package weights

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func mapFile(f *os.File, size int) ([]byte, error) {
	return unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
}

func unmapFile(data []byte) error { return unix.Munmap(data) }

// releasePages tells the kernel that the whole pages inside data, part of a
// mapping, are not needed soon. They come back from the file when touched.
func releasePages(data []byte) {
	if len(data) == 0 {
		return
	}
	page := uintptr(os.Getpagesize())
	at := uintptr(unsafe.Pointer(&data[0]))
	lo := (page - at%page) % page
	hi := uintptr(len(data))
	if lo >= hi {
		return
	}
	n := (hi - lo) / page * page
	if n > 0 {
		_ = unix.Madvise(data[lo:lo+n], unix.MADV_DONTNEED) // advice only
	}
}
