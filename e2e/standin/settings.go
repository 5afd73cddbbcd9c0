package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// settings are what H2O reads from its environment.
type settings struct {
	service  string        // fully qualified, without a dot at its end
	count    int           // zero for none
	timeout  time.Duration // zero for none
	apiPort  int
	name     string // of the cloud
	revision string // only reported
}

// defaultTimeout ends a lookup for which no end is set at all.
const defaultTimeout = 180 * time.Second

// readSettings reads the environment as H2O does.
// Source: water.k8s.H2OCluster and KubernetesDnsLookup of H2O 3.46.
func readSettings(env func(string) string) (settings, error) {
	s := settings{service: env("H2O_KUBERNETES_SERVICE_DNS"), apiPort: 8080, name: "standin", revision: env("STANDIN_REVISION")}
	if s.service == "" {
		return s, errors.New("H2O_KUBERNETES_SERVICE_DNS is not set, so this is not Kubernetes")
	}
	seconds := 0
	for _, v := range []struct {
		name string
		into *int
	}{{"H2O_NODE_EXPECTED_COUNT", &s.count}, {"H2O_NODE_LOOKUP_TIMEOUT", &seconds}, {"H2O_KUBERNETES_API_PORT", &s.apiPort}} {
		text := env(v.name)
		if text == "" {
			continue
		}
		number, err := strconv.Atoi(text)
		if err != nil {
			return s, fmt.Errorf("cannot read %s: %w", v.name, err)
		}
		*v.into = number
	}
	s.timeout = time.Duration(seconds) * time.Second
	if s.count == 0 && s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	for option := range strings.FieldsSeq(env("JAVA_TOOL_OPTIONS")) {
		if name, found := strings.CutPrefix(option, "-Dai.h2o.name="); found {
			s.name = name
		}
	}
	return s, nil
}
