package faults

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/test/bufconn"

	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/internal/consultest"
	"github.com/onehop-go/onehop/policy"
)

// h2 is a server that speaks HTTP/2 frame by frame, to do what no HTTP/2 server would.
type h2 struct {
	*raw
	stream   func(c *h2conn, s h2stream)
	settings []http2.Setting

	mu       sync.Mutex
	streams  int
	executed map[string]int // by call id
}

type h2conn struct {
	*http2.Framer
	number int  // of the connection
	n      int  // of the streams on it
	gone   bool // it has sent GOAWAY
}

// h2stream is a request: its number, and the call's id.
type h2stream struct {
	id   uint32
	call string
}

// newH2 answers each request by stream, which runs once its body has come, too.
func newH2(t *testing.T, stream func(*h2conn, h2stream)) *h2 {
	t.Helper()
	return newH2On(t, listen(t), stream)
}

func newH2On(t *testing.T, l net.Listener, stream func(*h2conn, h2stream), settings ...http2.Setting) *h2 {
	t.Helper()
	s := &h2{stream: stream, settings: settings, executed: map[string]int{}}
	conns := 0
	s.raw = newRawOn(t, l, func(c net.Conn) {
		s.mu.Lock()
		conns++
		number := conns
		s.mu.Unlock()
		s.serve(c, number)
	})
	return s
}

func (s *h2) serve(c net.Conn, number int) {
	if _, err := io.CopyN(io.Discard, c, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	conn := &h2conn{Framer: http2.NewFramer(c, c), number: number}
	conn.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = conn.WriteSettings(s.settings...)
	open := map[uint32]h2stream{}
	for {
		f, err := conn.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = conn.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = conn.WritePing(true, f.Data)
			}
		case *http2.MetaHeadersFrame:
			st := h2stream{id: f.StreamID}
			for _, h := range f.Fields {
				if http.CanonicalHeaderKey(h.Name) == consultest.CallIDHeader {
					st.call = h.Value
				}
			}
			if open[f.StreamID] = st; f.StreamEnded() {
				s.begin(conn, st)
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				s.begin(conn, open[f.StreamID])
			}
		}
	}
}

func (s *h2) begin(c *h2conn, st h2stream) {
	s.mu.Lock()
	s.streams++
	s.mu.Unlock()
	c.n++
	s.stream(c, st)
}

// execute books a call.
func (s *h2) execute(st h2stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.executed[st.call]++
}

func (s *h2) ledger() (streams, executed, twice int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.executed {
		executed += n
	}
	return s.streams, executed, doubles(s.executed)
}

// answer sends 200 without a body.
func (c *h2conn) answer(id uint32) {
	var b bytes.Buffer
	_ = hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndStream: true, EndHeaders: true})
}

// overH2 calls with prior knowledge.
func overH2(t *testing.T, p policy.Policy, addrs ...string) *http.Client {
	t.Helper()
	return webOf(t, static(t, p, addrs), httpclient.WithTransport(priorKnowledge()))
}

func priorKnowledge() *http.Transport {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: &protocols}
}

func TestRow37GoAwayMidStream(t *testing.T) {
	t.Parallel()
	row(t, 37)
	// Each connection executes and answers its first five requests; with the sixth it says that it goes and has processed five.
	const last = 9 // the number of the fifth: 1, 3, 5, ...
	var s *h2
	s = newH2(t, func(c *h2conn, st h2stream) {
		if st.id > last { // by its number: with bodies, streams are whole in another order
			if !c.gone {
				c.gone = true
				_ = c.WriteGoAway(last, http2.ErrCodeNo, nil)
			}
			return
		}
		s.execute(st)
		c.answer(st.id)
	})
	p := policy.Default()
	p.Retry.MaxAttempts, p.Budget.Min = 5, 100 // every connection dies after its fifth request: a call may meet several
	web := overH2(t, p, s.addr)
	var mu sync.Mutex
	var gets, posts, bare tally
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 15 {
				g := get(t, web, "http://pay/")
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				p := callWith(ctx, web, http.MethodPost, "http://pay/", strings.NewReader("book"))
				b := call(ctx, web, http.MethodPost, "http://pay/")
				cancel()
				mu.Lock()
				gets, posts, bare = append(gets, g), append(posts, p), append(bare, b)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	streams, executed, twice := s.ledger()
	figuref(t, "%d streams, %d executed, %d twice; of 60 GETs %d failed, of 60 POSTs %d, of 60 without a body %d",
		streams, executed, twice, gets.failed(), posts.failed(), bare.failed())
	if twice != 0 {
		t.Errorf("%d calls were executed twice", twice)
	}
	gets.wantNoneFailed(t)
	posts.wantNoneFailed(t) // of those without a body net/http does not tell what broke them
}

func TestRow78ProtocolErrorAfterExecution(t *testing.T) {
	t.Parallel()
	row(t, 78)
	var s *h2
	s = newH2(t, func(c *h2conn, st h2stream) {
		s.execute(st)
		_ = c.WriteRSTStream(st.id, http2.ErrCodeProtocol)
	})
	web := overH2(t, policy.Default(), s.addr)
	const posts = 2000 // where the guard is late, one in some hundred is sent twice
	for i := range posts {
		var body io.Reader
		if i%10 == 0 {
			body = strings.NewReader("book")
		}
		ctx, cancel := context.WithTimeout(t.Context(), deadline) // net/http alone would never end
		if o := callWith(ctx, web, http.MethodPost, "http://pay/", body); o.ok() {
			t.Error("a reset stream passed for an answer")
		}
		cancel()
	}
	_, executed, twice := s.ledger()
	figuref(t, "%d POSTs executed %d times (net/http alone: each, thousands of times)", posts, executed)
	if twice != 0 || executed != posts {
		t.Errorf("%d POSTs executed %d times, %d of them twice", posts, executed, twice)
	}
	o := get(t, web, "http://pay/")
	if n := s.executed[o.id]; n > policy.Default().Retry.MaxAttempts {
		t.Errorf("a GET was sent %d times", n)
	}
}

// A connection that was made for a call and not needed is given to a retry of another without a word: net/http's hook for
// the asking is skipped once.
func TestRow78SpareConnection(t *testing.T) {
	t.Parallel()
	row(t, 78)
	synctest.Test(t, func(t *testing.T) {
		l := bufconn.Listen(1 << 16)
		finish, dialled := make(chan struct{}), make(chan struct{})
		var s *h2
		s = newH2On(t, l, func(c *h2conn, st h2stream) {
			if c.number == 1 && c.n == 1 {
				<-finish
				c.answer(st.id)
				return
			}
			s.execute(st)
			_ = c.WriteRSTStream(st.id, http2.ErrCodeProtocol)
		}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
		transport, dials := priorKnowledge(), 0
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			if dials++; dials == 2 {
				<-dialled
			}
			return l.DialContext(t.Context())
		}
		web := webOf(t, static(t, policy.Default(), []string{"192.0.2.1:80"}), httpclient.WithTransport(transport))
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { // takes the one stream of the first connection
			if o := get(t, web, "http://pay/"); !o.ok() {
				t.Errorf("the first call: %v", o.err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() { call(ctx, web, http.MethodGet, "http://pay/") }) // has the second made, and leaves
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(dialled)
		synctest.Wait()
		close(finish)
		synctest.Wait()
		o := call(t.Context(), web, http.MethodPost, "http://pay/")
		n := s.executed[o.id]
		figuref(t, "with a spare connection at hand: executed %d times", n)
		if n != 1 || o.ok() {
			t.Errorf("the POST was executed %d times, its caller got %v", n, o.err)
		}
		if dials != 2 {
			t.Errorf("%d connections were made, not two", dials)
		}
	})
}
