package httpclient

import (
	"testing"
	"unsafe"
)

// A call is paid by its bytes: those of an untimed one, with the 8 that the allocator puts before an object of that size,
// must fit its class of 896 bytes. The next one has 1,024.
func TestACallFitsItsSizeClass(t *testing.T) {
	const class, header = 896, 8
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the sizes are those of 64-bit machines")
	}
	if size := unsafe.Sizeof(call{}) + header; size > class {
		t.Errorf("a call takes %d bytes of %d", size, class)
	}
}
