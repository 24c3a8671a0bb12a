package consultest

import (
	"errors"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithParent has the kernel kill the child when this process ends, however it ends. Other attributes, such as the
// account to run as, stay as the caller has set them.
func dieWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	// A group of its own: Ctrl-C in a terminal reaches the parent only, which then ends its children in order.
	cmd.SysProcAttr.Setpgid = true
}

// awaitStopped waits until every thread of a child that was sent SIGSTOP stands still; until then it may answer a call.
// WNOWAIT leaves the news to whoever waits for the child's end.
func awaitStopped(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
