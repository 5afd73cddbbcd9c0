// Package certs gives the webhook server its TLS certificate and tells the API
// server whom to trust. It knows nothing of admission.
package certs

import (
	"context"
	"crypto/tls"
	"net/http"
)

// Source is where the server's certificate comes from.
type Source interface {
	// GetCertificate gives the certificate to serve now; it fails until there
	// is one. It is called for every handshake.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Start keeps the certificate and the trust in it up to date until the
	// context ends.
	Start(ctx context.Context) error
	// Ready fails until a certificate is served that the API server trusts.
	Ready(*http.Request) error
}

// Configure makes a TLS configuration serve a source's certificate, in TLS 1.3 only.
func Configure(source Source) func(*tls.Config) {
	return func(config *tls.Config) {
		config.MinVersion = tls.VersionTLS13
		config.GetCertificate = source.GetCertificate
	}
}
