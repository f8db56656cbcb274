//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// forwardService makes a Service reachable and returns its address. It outlives the pods behind it.
func forwardService(t *testing.T, namespace, service string, port int) string {
	t.Helper()
	if embedded() {
		name := os.Getenv("E2E_NAME")
		if name == "" {
			name = "trellis-e2e"
		}
		return strings.TrimSpace(run(t, "", "bin/trellis-cluster", "--name", name, "forward", namespace+"/"+service, fmt.Sprint(port)))
	}
	return listen(t, namespace, func(ctx context.Context) (string, int, error) { return pickPod(ctx, namespace, service, port) })
}

// embedded is true when the cluster's processes are this machine's.
func embedded() bool { return slices.Contains([]string{"", "embedded"}, os.Getenv("CLUSTER")) }

// forwardPod makes one pod reachable and returns its address. It ends with the pod.
func forwardPod(t *testing.T, pod *corev1.Pod, port int) string {
	t.Helper()
	return listen(t, pod.Namespace, func(context.Context) (string, int, error) { return pod.Name, port, nil })
}

// execIn runs a shell's script in a container and returns what it printed. It starts no kubectl, as it is asked for again and again.
func execIn(namespace, pod, container, script string) (string, error) {
	within, cancel := context.WithTimeout(ctx, patience/6)
	defer cancel()
	url := typed.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: []string{"sh", "-c", script}, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	run, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, url)
	if err != nil {
		return "", err
	}
	var out, problems strings.Builder
	if err := run.StreamWithContext(within, remotecommand.StreamOptions{Stdout: &out, Stderr: &problems}); err != nil {
		return "", fmt.Errorf("%w: %s", err, problems.String())
	}
	return out.String(), nil
}

// pickPod chooses a pod that is ready behind a Service, and the port that it serves there.
func pickPod(ctx context.Context, namespace, service string, port int) (string, int, error) {
	svc := &corev1.Service{}
	if err := admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: service}, svc); err != nil {
		return "", 0, err
	}
	pods := &corev1.PodList{}
	if err := admin.List(ctx, pods, client.InNamespace(namespace), client.MatchingLabels(svc.Spec.Selector)); err != nil {
		return "", 0, err
	}
	ready := readyOnes(pods.Items)
	if len(ready) == 0 {
		return "", 0, fmt.Errorf("no pod of %s is ready", service)
	}
	pod := ready[rand.N(len(ready))]
	for _, p := range svc.Spec.Ports {
		for _, c := range pod.Spec.Containers[0].Ports {
			if int(p.Port) == port && c.Name == p.TargetPort.StrVal {
				return pod.Name, int(c.ContainerPort), nil
			}
		}
	}
	return "", 0, fmt.Errorf("%s has no port %d", service, port)
}

// listen passes connections of a loopback port on to pods, each to the one that pick names, by the API server.
func listen(t *testing.T, namespace string, pick func(context.Context) (string, int, error)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { pass(ctx, conn, namespace, pick) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		open.Wait()
	})
	return listener.Addr().String()
}

// pass copies both ways until either side ends.
func pass(ctx context.Context, conn net.Conn, namespace string, pick func(context.Context) (string, int, error)) {
	defer conn.Close()
	pod, port, err := pick(ctx)
	if err != nil {
		return
	}
	tunnel, stream, err := dialPod(namespace, pod, port)
	if err != nil {
		return
	}
	defer tunnel.Close()
	ended := make(chan struct{}, 2)
	for _, copy := range []func(){
		func() { _, _ = io.Copy(stream, conn) },
		func() { _, _ = io.Copy(conn, stream) },
	} {
		go func() {
			copy()
			ended <- struct{}{}
		}()
	}
	select {
	case <-ended:
	case <-ctx.Done():
	case <-tunnel.CloseChan():
	}
}

// dialPod opens a stream to a pod's port, as kubectl port-forward does. The stream ends with its tunnel.
func dialPod(namespace, pod string, port int) (httpstream.Connection, httpstream.Stream, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, nil, err
	}
	url := typed.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	tunnel, _, err := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, url).Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, nil, err
	}
	header := http.Header{}
	header.Set(corev1.PortHeader, fmt.Sprint(port))
	header.Set(corev1.PortForwardRequestIDHeader, "0")
	header.Set(corev1.StreamType, corev1.StreamTypeError)
	faults, err := tunnel.CreateStream(header)
	if err == nil {
		err = faults.Close()
	}
	header.Set(corev1.StreamType, corev1.StreamTypeData)
	var stream httpstream.Stream
	if err == nil {
		stream, err = tunnel.CreateStream(header)
	}
	if err != nil {
		return nil, nil, errors.Join(err, tunnel.Close())
	}
	go func() {
		// Whatever is said here is said because the stream failed.
		if text, _ := io.ReadAll(faults); len(text) > 0 {
			_ = tunnel.Close()
		}
	}()
	return tunnel, stream, nil
}
