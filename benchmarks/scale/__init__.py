"""How the mesh grows: gateways, routers, workers and streams; what a stream holds, and how processes start."""
