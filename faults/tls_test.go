package faults

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onehop-go/onehop/httpclient"
	"github.com/onehop-go/onehop/policy"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate for a name.
func (a *authority) issue(t *testing.T, name string, until time.Time) tls.Certificate {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsServer answers over TLS with cert, and counts what arrived inside it, and what arrived without any.
func tlsServer(t *testing.T, cert tls.Certificate) (s *raw, inside, plain *atomic.Int64) {
	t.Helper()
	inside, plain = &atomic.Int64{}, &atomic.Int64{}
	s = newRaw(t, func(c net.Conn) {
		peek := &peeking{Conn: c}
		secure := tls.Server(peek, &tls.Config{Certificates: []tls.Certificate{cert}})
		if err := secure.Handshake(); err != nil {
			if peek.first != 0 && peek.first != 0x16 { // not the record type of a handshake
				plain.Add(1)
			}
			return
		}
		b := make([]byte, 4096)
		for {
			n, err := secure.Read(b)
			inside.Add(int64(n))
			if err != nil {
				return
			}
			_, _ = secure.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		}
	})
	return s, inside, plain
}

// peeking remembers the first byte that came.
type peeking struct {
	net.Conn
	first byte
}

func (p *peeking) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if p.first == 0 && n > 0 {
		p.first = b[0]
	}
	return n, err
}

func TestRow36CertificateIsWrong(t *testing.T) {
	t.Parallel()
	row(t, 36)
	ca, foreign := newAuthority(t), newAuthority(t)
	now := time.Now()
	for name, cert := range map[string]tls.Certificate{
		"expired":        ca.issue(t, "pay", now.Add(-time.Hour)),
		"wrong name":     ca.issue(t, "evil", now.Add(time.Hour)),
		"wrong issuer":   foreign.issue(t, "pay", now.Add(time.Hour)),
		"of the address": ca.issue(t, "127.0.0.1", now.Add(time.Hour)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, inside, plain := tlsServer(t, cert)
			good, _, _ := tlsServer(t, ca.issue(t, "pay", now.Add(time.Hour)))
			base := func() httpclient.Option {
				return httpclient.WithTransport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool}})
			}
			web := webOf(t, static(t, policy.Default(), []string{bad.addr}), base())
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				o := call(t.Context(), web, method, "https://pay/")
				if verification := (*tls.CertificateVerificationError)(nil); !errors.As(o.err, &verification) {
					t.Errorf("got %d, %v; want an error of the certificate", o.status, o.err)
				}
			}
			web = webOf(t, static(t, policy.Default(), []string{bad.addr, good.addr}), base())
			for range 10 {
				if o := get(t, web, "https://pay/"); !o.ok() {
					t.Errorf("beside a good endpoint: %v", o.err)
				}
			}
			figuref(t, "%d bytes of requests sent, %d calls without TLS", inside.Load(), plain.Load())
			if inside.Load() != 0 || plain.Load() != 0 {
				t.Errorf("%d bytes sent inside, %d connections without TLS", inside.Load(), plain.Load())
			}
		})
	}
}
