package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

type plugin struct {
	api.UnimplementedDevicePluginServer
	devices []*api.Device
	stopped chan struct{}
}

func newPlugin(count int) *plugin {
	p := &plugin{stopped: make(chan struct{})}
	for i := range count {
		p.devices = append(p.devices, &api.Device{ID: fmt.Sprintf("GPU-%08d", i), Health: api.Healthy})
	}
	return p
}

type server struct {
	*grpc.Server
	plugin *plugin
}

// Stop ends the open device streams first: the kubelet never closes them itself.
func (s server) Stop() {
	close(s.plugin.stopped)
	s.Server.Stop()
}

func (p *plugin) serve(socket string) (server, error) {
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return server{}, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return server{}, err
	}
	s := server{grpc.NewServer(), p}
	api.RegisterDevicePluginServer(s.Server, p)
	go s.Serve(listener)
	return s, nil
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	if err := stream.Send(&api.ListAndWatchResponse{Devices: p.devices}); err != nil {
		return err
	}
	select {
	case <-p.stopped:
	case <-stream.Context().Done():
	}
	return nil
}

// Allocate hands devices over as NVIDIA's plugin does by default: by naming them in the environment.
func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	response := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &api.ContainerAllocateResponse{
			Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")},
		})
	}
	return response, nil
}
