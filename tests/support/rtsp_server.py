"""An RTSP server by GStreamer, for /usr/bin/python3: ``rtsp_server.py PORT FILE [USER PASSWORD]`` serves a
transport stream at /live again and again, and takes what is published to /in as RECORDED.ts beside it.
RTSP_PAYLOADER: properties of its payloader; RTSP_FILTER: elements before that, each with a ``!`` after it.
"""

import os
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

port, source, *login = sys.argv[1:]
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
mounts = server.get_mount_points()

serving = GstRtspServer.RTSPMediaFactory()
serving.set_launch(
    f"( multifilesrc location={source} loop=true ! tsdemux name=d "
    f"d. ! queue ! h264parse config-interval=1 ! {os.environ.get('RTSP_FILTER', '')} "
    f"rtph264pay name=pay0 pt=96 {os.environ.get('RTSP_PAYLOADER', '')} )"
)
# FFmpeg asks for the beginning, to which a stream that others play already cannot go back.
serving.set_shared(False)
mounts.add_factory("/live", serving)

taking = GstRtspServer.RTSPMediaFactory()
taking.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
taking.set_launch(
    f"( rtph264depay name=depay0 ! h264parse ! mpegtsmux ! filesink sync=false location={source}.recorded )"
)
mounts.add_factory("/in", taking)

if login:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*login), token)
    server.set_auth(auth)
    for factory in (serving, taking):
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("user", "media.factory.access", True)
        permissions.add_permission_for_role("user", "media.factory.construct", True)
        factory.set_permissions(permissions)

server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
