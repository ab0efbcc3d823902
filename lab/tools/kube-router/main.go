// kube-router as the cluster runs it: network policies alone, by the project's own controller. The project's own program
// also links a BGP router, a service proxy and the client of a cloud, which are nearly all of its build. This one takes
// the same flags and asks the API for the same objects, so that a missing right shows here too.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/spf13/pflag"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	config := options.NewKubeRouterConfig()
	config.AddFlags(pflag.CommandLine)
	pflag.Parse()
	if config.RunRouter || config.RunServiceProxy || config.RunLoadBalancer || !config.RunFirewall {
		return errors.New("found another part than the firewall; needed --run-firewall=true alone; " +
			"pass --run-router=false --run-service-proxy=false")
	}
	klog.InitFlags(nil)
	if err := flag.Set("v", config.VLevel); err != nil {
		return err
	}

	access, err := clientcmd.BuildConfigFromFlags(config.Master, config.Kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return err
	}

	stop, running := make(chan struct{}), &sync.WaitGroup{}
	beats := make(chan *healthcheck.ControllerHeartbeat, 10)
	health, err := healthcheck.NewHealthController(config)
	if err != nil {
		return err
	}
	running.Add(1)
	go health.RunServer(stop, running)

	if err := enforce(client, config, health, beats, stop, running); err != nil {
		return err
	}

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	<-signals
	close(stop)
	running.Wait()
	return nil
}

func enforce(
	client kubernetes.Interface,
	config *options.KubeRouterConfig,
	health *healthcheck.HealthController,
	beats chan *healthcheck.ControllerHeartbeat,
	stop chan struct{},
	running *sync.WaitGroup,
) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	core := factory.Core().V1()
	pods, namespaces := core.Pods().Informer(), core.Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	others := []cache.SharedIndexInformer{
		core.Services().Informer(),
		core.Endpoints().Informer(),
		core.Nodes().Informer(),
		factory.Discovery().V1().EndpointSlices().Informer(),
	}
	klog.V(1).Infof("waiting for the lists of %d kinds of objects", 3+len(others))
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	health.SetAlive()
	running.Add(1)
	go health.RunCheck(beats, stop, running)

	tables, sets, err := netpol.NewIPTablesHandlers(config)
	if err != nil {
		return err
	}
	controller, err := netpol.NewNetworkPolicyController(
		client, config, pods, policies, namespaces, &sync.Mutex{}, tables, sets)
	if err != nil {
		return err
	}
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods: controller.PodEventHandler, namespaces: controller.NamespaceEventHandler,
		policies: controller.NetworkPolicyEventHandler,
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	running.Add(1)
	go controller.Run(beats, stop, running)
	return nil
}
