package kube

import (
	"fmt"
	"os"

	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Client of the API server: of the cluster that the process runs in, or of the file that KUBECONFIG names.
func Client() (kubernetes.Interface, error) {
	cfg, err := config(os.Getenv(clientcmd.RecommendedConfigPathEnvVar))
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	cfg.UserAgent = "trellis-plane"
	// A move is some writes, one after the other, and nobody serves its partition meanwhile: none of them waits for the
	// client's own limit, which is 5 a second by default.
	cfg.QPS, cfg.Burst = 100, 200
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server: %w", err)
	}
	return client, nil
}

// config without the warning that clientcmd has for the one who names no file, as a pod does.
func config(file string) (*restclient.Config, error) {
	if file == "" {
		return restclient.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", file)
}
