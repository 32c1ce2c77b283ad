package pace

import (
	"syscall"
	"unsafe"
)

// What the heap grows by, and a large page.
const (
	heapChunk = 4 << 20
	largePage = 2 << 20
)

// room has the next megabytes of the heap be in large pages, where the kernel gives them to who asks. To take a page from the kernel costs about
// the same whatever its size, and at 4 KB each they are a tenth of the time of the shortest commands. The heap grows by as many whole chunks as what
// is allocated needs, and there is no way to ask for more of it: so this allocates a bit more than a chunk, which takes no memory as nobody writes
// to it, and asks for large pages behind that, up to the end of the next chunk. It costs one chunk of addresses until the next collection. Where the
// heap turns out to be laid out otherwise nothing is lost: the kernel takes it for advice.
// Source: madvise(2), MADV_HUGEPAGE; runtime/mheap.go, grow.
func room() bool {
	waste := make([]byte, heapChunk+8<<10)
	end := uintptr(unsafe.Pointer(unsafe.SliceData(waste))) + uintptr(len(waste))
	from, to := up(end, largePage), up(end, heapChunk)+heapChunk
	_, _, err := syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_HUGEPAGE)
	return err == 0
}

// up is the next multiple of size.
func up(address, size uintptr) uintptr { return (address + size - 1) / size * size }
