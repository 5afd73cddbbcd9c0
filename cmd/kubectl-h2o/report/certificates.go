package report

import (
	"crypto/x509"
	"encoding/pem"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// certificateSoon is how many days before its end a certificate is a problem:
// the webhook renews a leaf 120 days before.
const certificateSoon = 30

// Where certificates are, see Certificate.Where.
const (
	trusted = "trusted by the API server"
	served  = "served by the webhook"
)

// certificates lists those of the webhook. Few may read them, so that they are
// unknown is nothing to worry about.
func certificates(f Facts) []Certificate {
	var all []Certificate
	if why := f.More.Unknown[UnknownWebhook]; why != "" {
		all = append(all, Certificate{Where: trusted, Unknown: why})
	}
	if f.More.Webhook != nil {
		seen := map[string]bool{}
		for i := range f.More.Webhook.Webhooks {
			bundle := f.More.Webhook.Webhooks[i].ClientConfig.CABundle
			if !seen[string(bundle)] {
				all = append(all, read(trusted, bundle, f.Now)...)
			}
			seen[string(bundle)] = true
		}
	}
	switch why := f.More.Unknown[UnknownSecret]; {
	case why != "":
		all = append(all, Certificate{Where: served, Unknown: why})
	case f.More.Secret != nil:
		all = append(all, read(served, f.More.Secret.Data[corev1.TLSCertKey], f.Now)...)
	}
	return all
}

func read(where string, text []byte, now time.Time) []Certificate {
	var all []Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue // another thing than a certificate; the server ignores it too
		}
		days := int(math.Floor(c.NotAfter.Sub(now).Hours() / 24))
		all = append(all, Certificate{Where: where, Subject: c.Subject.CommonName, NotAfter: c.NotAfter, DaysLeft: days})
	}
	return all
}
