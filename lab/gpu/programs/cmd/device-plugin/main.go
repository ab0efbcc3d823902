// device-plugin stands in for NVIDIA's k8s-device-plugin: it offers the kubelet the GPUs that the driver lists, over
// the real plugin protocol, and names them to the container runtime as NVIDIA's does.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"qwen-onprem.lab/gpu/internal/driver"
)

const (
	resource   = "nvidia.com/gpu"
	socketName = "nvidia-gpu.sock"
)

func main() {
	folder := flag.String("plugin-dir", api.DevicePluginPath, "folder of the kubelet's plugin sockets")
	every := flag.Duration("watch-interval", time.Second, "how often to look for a restarted kubelet")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	options, err := readOptions()
	if err != nil {
		log.Fatal(err)
	}
	gpus, err := driver.GPUs()
	if err != nil && options.failOnInitError {
		log.Fatal(err)
	}
	if len(gpus) == 0 {
		log.Printf("no devices found, waiting indefinitely: %v", err)
		<-ctx.Done()
	}
	for ctx.Err() == nil {
		if err := offer(ctx, *folder, newPlugin(gpus, options), *every); err != nil {
			log.Printf("found: %v; needed: a kubelet listening in %s; trying again in %s", err, *folder, *every)
			wait(ctx, *every)
		}
	}
}

// offer serves and registers the plugin, and returns when the kubelet was restarted
// (a new kubelet forgets its plugins and empties their folder) or ctx ends.
func offer(ctx context.Context, folder string, plugin *plugin, every time.Duration) error {
	kubelet := filepath.Join(folder, "kubelet.sock")
	known, err := os.Stat(kubelet)
	if err != nil {
		return err
	}
	own := filepath.Join(folder, socketName)
	serving, err := plugin.serve(own)
	if err != nil {
		return err
	}
	defer serving.Stop()
	if err := register(ctx, kubelet); err != nil {
		return fmt.Errorf("register with %s: %w", kubelet, err)
	}
	log.Printf("offering %d %s", len(plugin.gpus), resource)
	for wait(ctx, every) {
		now, err := os.Stat(kubelet)
		// The inode alone is not enough: a file system gives a removed socket's number to the next one.
		if err != nil || !os.SameFile(known, now) || !now.ModTime().Equal(known.ModTime()) {
			log.Print("the kubelet was restarted: registering again")
			return nil
		}
		if _, err := os.Stat(own); err != nil {
			log.Print("the plugin's socket is gone: registering again")
			return nil
		}
	}
	return nil
}

func register(ctx context.Context, kubelet string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	connection, err := grpc.NewClient("unix://"+kubelet, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = api.NewRegistrationClient(connection).Register(ctx, &api.RegisterRequest{
		Version:      api.Version,
		Endpoint:     socketName,
		ResourceName: resource,
		Options:      &api.DevicePluginOptions{},
	})
	return err
}

// wait sleeps and reports whether ctx is still alive.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
