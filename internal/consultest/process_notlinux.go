//go:build !linux

package consultest

import "os/exec"

// dieWithParent does nothing where the kernel offers nothing: there a killed test leaves its agent behind.
func dieWithParent(*exec.Cmd) {}

// awaitStopped does nothing: a moment passes before a stopped child stands still.
func awaitStopped(int) error { return nil }
