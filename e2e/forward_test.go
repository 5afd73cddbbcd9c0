package e2e

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// TestForward proves what `kubectl h2o forward` says and how it ends. Nobody
// runs pods here, so it is as far as the API server goes; package forward is
// tested on its own, with stand-ins.
func TestForward(t *testing.T) {
	e := newTest(t)
	e.says(2, []string{"forward"}, "takes the name of one cluster")
	e.says(2, []string{"forward", "demo"}, "there is no StatefulSet demo")
	e.says(2, []string{"forward", "demo", "--address", "here"}, "is no IP address")
	e.kubectl(unmanaged, "apply", "-f", "-")
	e.says(1, []string{"forward", "demo", "--port", "0"}, "demo is no H2O cluster: it has no label")
	e.kubectl("", "delete", "statefulset", "demo")
	e.kubectl(managed, "apply", "-f", "-")
	e.phase("demo", life.PhasePending)

	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	e.says(1, []string{"forward", "demo", "--port", fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)}, "choose another port")

	cmd, _, _ := e.command("forward", "demo", "--port", "0")
	said, warned := &harness.Output{}, &harness.Output{}
	cmd.Stdout, cmd.Stderr = said, warned
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e.eventually("how to connect", said.Has("h2o.connect(url="))
	e.eventually("that nobody leads", warned.Has("there is no leader, connections wait for one: Pending"))
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(said.String())
	client, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	e.leadWithoutPods(warned)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := e.code(cmd.Wait()); code != 0 {
		t.Errorf("want a clean end, got %d and\n%s", code, warned.String())
	}
	if strings.Contains(warned.String(), "error:") {
		t.Errorf("want no error, got\n%s", warned.String())
	}
}

// leadWithoutPods writes that a pod leads, with the webhook away, and waits for
// what the API server says of a pod that no machine runs.
func (e *test) leadWithoutPods(warned *harness.Output) {
	e.Helper()
	url := e.uninstall()
	defer e.install(url)
	e.runPods("demo")
	e.write("demo", e.formedStatus("demo"))
	e.eventually("who leads", warned.Has("connections go to pod demo-1"))
	e.eventually("that it cannot be reached", warned.Has("cannot reach pod demo-1: "))
}
