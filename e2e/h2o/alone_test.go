//go:build h2o

package h2o

import (
	"context"
	"fmt"
	"net/http"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
)

// formsAlone is the condition that a set's pods are one cloud, as far as H2O
// alone says: there may be nobody to keep a status. The cloud is asked, not the
// probe, whose 404 does not mean a cloud yet.
func formsAlone(e *h2otest.Test, set string, size int) func(context.Context) error {
	return func(ctx context.Context) error {
		pods, err := e.Space.Pods(ctx, set)
		if err != nil {
			return err
		}
		running := 0
		for i := range pods {
			if pods[i].Status.PodIP != "" {
				running++
			}
		}
		if running != size {
			return fmt.Errorf("%d of %d pods have an address", running, size)
		}
		cloud, err := cloudOf(ctx, e, set)
		if err != nil {
			return err
		}
		if cloud.Size != size || !cloud.Consensus {
			return fmt.Errorf("it is %+v", cloud)
		}
		return nil
	}
}

// cloudOf asks the nodes themselves for their cloud: the one that leads answers.
func cloudOf(ctx context.Context, e *h2otest.Test, set string) (*h2otest.Cloud, error) {
	pods, err := e.Space.Pods(ctx, set)
	if err != nil {
		return nil, err
	}
	said := ""
	for i := range pods {
		url := "http://" + h2otest.RESTAddress(&pods[i])
		status, _, err := e.Space.Fetch(ctx, url+"/3/Cloud")
		if err == nil && status == http.StatusOK {
			return e.Space.Cloud(ctx, url)
		}
		said += fmt.Sprintf("; %s: %d (%v)", pods[i].Name, status, err)
	}
	return nil, fmt.Errorf("no node answers%s", said)
}

// alone is cloudOf where it must be had.
func alone(e *h2otest.Test, set string) *h2otest.Cloud {
	e.Helper()
	cloud, err := cloudOf(e.Context(), e, set)
	if err != nil {
		e.Fatal(err)
	}
	return cloud
}
