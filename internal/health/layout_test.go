package health

import (
	"testing"
	"unsafe"
)

var onHeap *Endpoint

// TestAPickReadsOneCacheLine of each endpoint: what cost reads stands in the first, and endpoints begin at a line.
func TestAPickReadsOneCacheLine(t *testing.T) {
	const line = 64
	var e Endpoint
	if end := unsafe.Offsetof(e.paused) + unsafe.Sizeof(e.paused); end > line {
		t.Errorf("what a pick reads ends at byte %d", end)
	}
	if n := unsafe.Sizeof(e); n%line != 0 {
		t.Errorf("an endpoint has %d bytes: adapt its padding", n)
	}
	for range 100 {
		onHeap = newEndpoint(&members(1)[0], 0)
		if at := uintptr(unsafe.Pointer(onHeap)); at%line != 0 {
			t.Fatalf("an endpoint begins %d bytes after a line", at%line)
		}
	}
}
