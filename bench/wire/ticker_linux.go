package wire

import (
	"encoding/binary"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ticker counts moments at fixed distances. It is a timer of the kernel, waited for like a connection: time.Sleep and
// time.Ticker wake at whole milliseconds where the process has nothing else to do, which at 2,000 calls a second
// would be most of the latency measured.
type ticker struct {
	began time.Time // the i-th moment is i intervals later
	file  *os.File
	due   int
}

func newTicker(interval time.Duration) (*ticker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	t := &ticker{file: os.NewFile(uintptr(fd), "timerfd")}
	every := unix.NsecToTimespec(int64(interval))
	t.began = time.Now()
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		t.stop()
		return nil, os.NewSyscallError("timerfd_settime", err)
	}
	return t, nil
}

// wait returns how many moments have come since the start, once there are more than it said before.
func (t *ticker) wait() (int, error) {
	var count [8]byte
	if _, err := io.ReadFull(t.file, count[:]); err != nil {
		return 0, err
	}
	t.due += int(binary.NativeEndian.Uint64(count[:]))
	return t.due, nil
}

func (t *ticker) stop() { _ = t.file.Close() }
