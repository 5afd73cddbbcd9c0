package certs

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

var (
	now   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	hosts = []string{"h2o-webhook.system.svc", "127.0.0.1", strings.Repeat("long.", 20) + "svc"}
)

func fresh(t *testing.T) material {
	t.Helper()
	m, err := apply(makeAllAnew, material{}, now, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDecide(t *testing.T) {
	day := 24 * time.Hour
	good, other := fresh(t), fresh(t)
	for name, test := range map[string]struct {
		m     material
		at    time.Time
		hosts []string
		want  action
		why   string
	}{
		"nothing there yet":                     {material{}, now, hosts, makeAllAnew, "authority cannot be read"},
		"all fresh":                             {good, now, hosts, keep, ""},
		"a leaf with a third of its life left":  {good, now.Add(leafLife * 2 / 3).Add(day), hosts, renewLeaf, "near its end"},
		"a leaf a day before that":              {good, now.Add(leafLife * 2 / 3).Add(-day), hosts, keep, ""},
		"an authority near its end":             {good, now.Add(authorityLife * 2 / 3).Add(day), hosts, makeAllAnew, "authority is near its end"},
		"a clock that went back by a year":      {good, now.Add(-365 * day), hosts, makeAllAnew, "near its end"},
		"a clock that is two minutes behind":    {good, now.Add(-2 * time.Minute), hosts, keep, ""},
		"another host":                          {good, now, []string{"other.svc"}, renewLeaf, "not good for other.svc"},
		"another address":                       {good, now, []string{"127.0.0.2"}, renewLeaf, "not good for 127.0.0.2"},
		"a leaf of another authority":           {material{good.authority, good.authorityKey, other.leaf, other.leafKey}, now, hosts, renewLeaf, "not good for"},
		"a leaf without its key":                {material{good.authority, good.authorityKey, good.leaf, other.leafKey}, now, hosts, renewLeaf, "leaf's key"},
		"an authority without its key":          {material{good.authority, other.authorityKey, good.leaf, good.leafKey}, now, hosts, makeAllAnew, "authority's key"},
		"somebody wrote text into the secret":   {material{good.authority, good.authorityKey, []byte("hello"), good.leafKey}, now, hosts, renewLeaf, "leaf cannot be read"},
		"a key in the place of the certificate": {material{good.authorityKey, good.authorityKey, good.leaf, good.leafKey}, now, hosts, makeAllAnew, "no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			what, why := decide(test.m, test.at, test.hosts)
			if what != test.want || !strings.Contains(why, test.why) {
				t.Errorf("want %q because %q, got %q because %q", test.want, test.why, what, why)
			}
		})
	}
}

func TestRenewedLeafKeepsItsAuthority(t *testing.T) {
	m := fresh(t)
	later := now.Add(300 * 24 * time.Hour)
	renewed, err := apply(renewLeaf, m, later, hosts)
	if err != nil {
		t.Fatal(err)
	}
	if string(renewed.authority) != string(m.authority) || string(renewed.leaf) == string(m.leaf) {
		t.Error("want another leaf of the same authority")
	}
	if what, why := decide(renewed, later, hosts); what != keep {
		t.Errorf("a renewed leaf is not good: %s", why)
	}
}

// TestConfigure makes real handshakes.
func TestConfigure(t *testing.T) {
	m, err := apply(makeAllAnew, material{}, time.Now(), hosts)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := tls.X509KeyPair(m.leaf, m.leafKey)
	if err != nil {
		t.Fatal(err)
	}
	source := &SelfSigned{}
	source.served.Store(&leaf)
	config := &tls.Config{}
	Configure(source)(config)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_ = connection.(*tls.Conn).HandshakeContext(t.Context())
			_ = connection.Close()
		}
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(m.authority)
	for version, refused := range map[uint16]bool{tls.VersionTLS13: false, tls.VersionTLS12: true} {
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version}}
		connection, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
		if (err != nil) != refused {
			t.Errorf("%s: refused is %v, want %v", tls.VersionName(version), err, refused)
		}
		if err == nil {
			_ = connection.Close()
		}
	}
}

func TestNotReadyWithoutCertificate(t *testing.T) {
	source := &SelfSigned{}
	if source.Ready(nil) == nil {
		t.Error("ready without a certificate")
	}
	if _, err := source.GetCertificate(nil); err == nil {
		t.Error("a certificate out of nothing")
	}
	source.served.Store(&tls.Certificate{})
	if source.Ready(nil) == nil {
		t.Error("ready before the API server trusts the certificate")
	}
	source.trusted.Store(true)
	if err := source.Ready(nil); err != nil {
		t.Error(err)
	}
}
