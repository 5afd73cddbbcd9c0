package report_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

var update = flag.Bool("update", false, "write what comes out into the golden files")

// certificate makes one that ends after some days.
func certificate(t *testing.T, name string, days int) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 0, days)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// full are clusters of which everything is shown, by what the file is called.
var full = map[string]func(*testing.T, string) *scene{
	"formed": func(t *testing.T, name string) *scene {
		s := formed(t, name)
		s.More.Webhook.Webhooks = []admissionregistrationv1.MutatingWebhook{{ClientConfig: admissionregistrationv1.WebhookClientConfig{CABundle: certificate(t, "h2o-webhook-ca", 3650)}}}
		s.More.Secret = &corev1.Secret{Data: map[string][]byte{corev1.TLSCertKey: certificate(t, "h2o-webhook.h2o-webhook-system.svc", 12)}}
		return s
	},
	"degraded": func(t *testing.T, name string) *scene {
		s := formed(t, name)
		status := life.Read(s.Set)
		status.Phase, status.Leader, status.Since = life.PhaseDegraded, "", now.Add(-2*time.Minute)
		status.Message = "H2O in " + name + "-2 restarted in place, with an empty store; the whole cluster is restarted at 2026-11-01T12:01:00Z"
		s.keep(status)
		s.serve()
		s.lose()
		return s
	},
	"pending": func(t *testing.T, name string) *scene {
		s := injected(t, name)
		for i := range s.Pods {
			s.Pods[i].Spec.NodeName = ""
			s.Pods[i].Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available: 1 Insufficient memory."}}}
		}
		s.keep(life.Status{Phase: life.PhasePending, Since: now.Add(-time.Minute), Message: "0 of 3 nodes run; demo-0: 0/1 nodes are available: 1 Insufficient memory."})
		s.serve()
		for name := range s.More.Slices {
			s.More.Slices[name] = nil
		}
		return s
	},
	"restarting": func(t *testing.T, name string) *scene {
		s := injected(t, name)
		s.keep(life.Status{
			Phase: life.PhaseRestarting, Since: now.Add(-3 * time.Second), Message: "its pod template changed: the whole cluster is restarted. What is in its memory is lost",
			Restarts: 1, LastCause: life.CauseTemplate, LastRestart: now.Add(-3 * time.Second), Restart: &life.Restart{Cause: life.CauseTemplate},
		})
		s.serve()
		for name := range s.More.Slices {
			s.More.Slices[name] = nil
		}
		return s
	},
	"stopped": func(t *testing.T, name string) *scene {
		s := plain(t, name)
		*s.Set.Spec.Replicas = 0
		s.inject()
		s.keep(life.Status{Phase: life.PhaseStopped, Since: now.Add(-time.Hour), Message: "zero replicas are wanted; scale it up to start it"})
		return s
	},
	"foreign-services": func(t *testing.T, name string) *scene {
		s := formed(t, name)
		for _, service := range s.More.Services {
			service.Labels, service.OwnerReferences = nil, nil
			service.Spec = corev1.ServiceSpec{Selector: map[string]string{"app": "other"}}
		}
		return s
	},
	"webhook-away": func(t *testing.T, name string) *scene {
		s := formed(t, name)
		s.Pods = s.Pods[:2]
		return s
	},
	"refused-everywhere": func(t *testing.T, name string) *scene {
		s := formed(t, name)
		s.Pods, s.PodsKnown = nil, false
		s.More = &report.More{Unknown: map[string]string{}}
		for _, what := range []string{report.UnknownNamespace, report.UnknownPods, report.UnknownServices, report.UnknownSlices, report.UnknownEvents, report.UnknownWebhook, report.UnknownSecret} {
			s.More.Unknown[what] = report.NotAllowed
		}
		return s
	},
	"no-label": func(t *testing.T, name string) *scene {
		s := plain(t, name)
		s.Set.Labels = nil
		return s
	},
	"other-value": func(t *testing.T, name string) *scene {
		s := plain(t, name)
		s.Set.Labels[inject.LabelCluster] = "yes"
		return s
	},
	"outdated": func(t *testing.T, name string) *scene {
		s := plain(t, name)
		s.Set.Annotations = map[string]string{"h2o.ai/lookup-timeout": "90"}
		s.inject()
		delete(s.Set.Annotations, "h2o.ai/lookup-timeout") // as if an earlier build had had another default
		s.keep(life.Status{Phase: life.PhaseForming, Message: "0 of 3 nodes run"})
		return s
	},
	"not-injected": plain,
	"not-installed": func(t *testing.T, name string) *scene {
		s := plain(t, name)
		s.More.Webhook = nil
		return s
	},
	"rejected": func(t *testing.T, name string) *scene {
		s := plain(t, name)
		s.Set.Annotations = map[string]string{"h2o.ai/container": "nosuch"}
		return s
	},
	"record-unreadable": func(t *testing.T, name string) *scene {
		s := plain(t, name)
		s.Set.Annotations = map[string]string{"h2o.ai/injected": `{"version":9}`}
		return s
	},
	"terminating": func(t *testing.T, name string) *scene {
		s := injected(t, name)
		s.More.Namespace.Status.Phase = corev1.NamespaceTerminating
		return s
	},
	"being-deleted": func(t *testing.T, name string) *scene {
		s := injected(t, name)
		s.Set.DeletionTimestamp = &metav1.Time{Time: now}
		s.Set.Finalizers = []string{"foregroundDeletion"}
		return s
	},
}

func TestFull(t *testing.T) {
	for name, make := range full {
		t.Run(name, func(t *testing.T) {
			status := report.Build(make(t, "demo").Facts)
			var out bytes.Buffer
			if err := report.WriteFull(&out, &status, now); err != nil {
				t.Fatal(err)
			}
			golden(t, "full-"+name+".txt", out.Bytes())
		})
	}
}

// rows are clusters in a list: without what is looked up for one only.
func rows(t *testing.T) []report.ClusterStatus {
	t.Helper()
	var all []report.ClusterStatus
	for name, make := range full {
		s := make(t, name)
		s.More = nil
		all = append(all, report.Build(s.Facts))
	}
	report.Sort(all)
	return all
}

func TestTable(t *testing.T) {
	for name, table := range map[string]report.Table{
		"plain":      {},
		"wide":       {Wide: true},
		"namespaces": {Namespaces: true},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			table.Out = &out
			if err := table.Write(rows(t), now); err != nil {
				t.Fatal(err)
			}
			golden(t, "table-"+name+".txt", out.Bytes())
		})
	}
}

func TestData(t *testing.T) {
	one := formed(t, "demo")
	one.lose()
	status := report.Build(one.Facts)
	for name, write := range map[string]func(*bytes.Buffer) error{
		"list.json": func(out *bytes.Buffer) error { return report.WriteJSON(out, report.NewList(rows(t))) },
		"none.json": func(out *bytes.Buffer) error { return report.WriteJSON(out, report.NewList(nil)) },
		"one.json":  func(out *bytes.Buffer) error { return report.WriteJSON(out, &status) },
		"two.yaml": func(out *bytes.Buffer) error {
			if err := report.WriteYAML(out, &status, false); err != nil {
				return err
			}
			return report.WriteYAML(out, &status, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, name, out.Bytes())
		})
	}
}

// used are the golden files that some test read.
var used = map[string]bool{}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	used[name] = true
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("what comes out is not what %s says (make golden writes it anew) -want +got:\n%s", path, diff)
	}
}

// TestOrphans fails on golden files that no test reads. It runs last.
func TestOrphans(t *testing.T) {
	if flag.Lookup("test.run").Value.String() != "" {
		t.Skip("only some tests ran")
	}
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !used[file.Name()] {
			t.Errorf("no test reads testdata/%s", file.Name())
		}
	}
}
