package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// How long certificates live. A leaf is renewed when a third of its life is left.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// skew allows for clocks that go wrong by that much.
	skew = 5 * time.Minute
)

// material is a certificate authority and the leaf that it signed, all PEM.
type material struct {
	authority, authorityKey []byte
	leaf, leafKey           []byte
}

// action is what to do with material at a time.
type action string

const (
	keep         action = "keep"
	renewLeaf    action = "renew the leaf"
	makeAllAnew  action = "make authority and leaf anew"
	pemCert             = "CERTIFICATE"
	pemKey              = "EC PRIVATE KEY"
	renewalShare        = 3
)

// decide says what to do with material at a time, and why; hosts are the names
// and addresses that the leaf must be good for.
func decide(m material, now time.Time, hosts []string) (action, string) {
	authority, err := parse(m.authority)
	if err != nil {
		return makeAllAnew, fmt.Sprintf("the authority cannot be read: %v", err)
	}
	if _, err := tls.X509KeyPair(m.authority, m.authorityKey); err != nil {
		return makeAllAnew, fmt.Sprintf("the authority's key cannot be used: %v", err)
	}
	if outlived(authority, now) {
		return makeAllAnew, "the authority is near its end"
	}
	leaf, err := parse(m.leaf)
	if err != nil {
		return renewLeaf, fmt.Sprintf("the leaf cannot be read: %v", err)
	}
	if _, err := tls.X509KeyPair(m.leaf, m.leafKey); err != nil {
		return renewLeaf, fmt.Sprintf("the leaf's key cannot be used: %v", err)
	}
	if outlived(leaf, now) {
		return renewLeaf, "the leaf is near its end"
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	for _, host := range hosts {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now}); err != nil {
			return renewLeaf, fmt.Sprintf("the leaf is not good for %s: %v", host, err)
		}
	}
	return keep, ""
}

// outlived says whether so little of a certificate's life is left, or its
// beginning lies so far ahead, that another is due.
func outlived(c *x509.Certificate, now time.Time) bool {
	return now.Before(c.NotBefore) || now.After(renewalOf(c))
}

func renewalOf(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / renewalShare)
}

func parse(encoded []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(encoded)
	if block == nil || block.Type != pemCert {
		return nil, errors.New("it is no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// apply does what decide said.
func apply(what action, m material, now time.Time, hosts []string) (material, error) {
	var err error
	if what == makeAllAnew {
		if m.authority, m.authorityKey, err = issue(nil, "h2o-webhook-ca", now, authorityLife, nil); err != nil {
			return m, fmt.Errorf("cannot make an authority: %w", err)
		}
	}
	signer, err := tls.X509KeyPair(m.authority, m.authorityKey)
	if err != nil {
		return m, fmt.Errorf("cannot use the authority: %w", err)
	}
	if m.leaf, m.leafKey, err = issue(&signer, hosts[0], now, leafLife, hosts); err != nil {
		return m, fmt.Errorf("cannot make a leaf: %w", err)
	}
	return m, nil
}

// issue makes an ECDSA P-256 certificate: a leaf for hosts signed by signer, or
// an authority that signs itself when there is none.
func issue(signer *tls.Certificate, name string, now time.Time, life time.Duration, hosts []string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: commonName(name)},
		NotBefore: now.Add(-skew), NotAfter: now.Add(life), BasicConstraintsValid: true,
	}
	parent, signing := template, private
	if signer == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		var ok bool
		if signing, ok = signer.PrivateKey.(*ecdsa.PrivateKey); !ok {
			return nil, nil, errors.New("the authority's key is not ECDSA")
		}
		parent = signer.Leaf
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, private.Public(), signing)
	if err != nil {
		return nil, nil, err
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: encoded}), nil
}

// commonName cuts a name to the 64 characters that a certificate's may have;
// clients look at the alternative names only.
func commonName(name string) string { return name[:min(len(name), 64)] }

// trusts says whether a caBundle holds a certificate.
func trusts(bundle, cert []byte) bool { return bytes.Contains(bundle, bytes.TrimSpace(cert)) }
