"""A small IMDSv2 and EC2 for tests/documents/autonomous.sh, on a loopback port that is written to DIR/port.

It behaves as DIR/mode says (see `create`), and appends one line per request to DIR/log: what came, and what of a signed request was missing.
"""
import datetime
import http.server
import pathlib
import re
import socket
import sys
import time
import urllib.parse

HOME = pathlib.Path(sys.argv[1])
TOKEN = "imds-token-0123456789=="
VOLUMES = ["vol-0aaaaaaaaaaaaaaa1", "vol-0aaaaaaaaaaaaaaa2", "vol-0aaaaaaaaaaaaaaa9"]


def mode():
    return (HOME / "mode").read_text().split()


def item(n, volume):
    # A tag looks like an item too, and may hold anything that a person typed.
    return (f"<item><snapshotId>snap-0bbbbbbbbbbbbbbb{n}</snapshotId><volumeId>{volume}</volumeId><state>pending</state>"
            f"<volumeSize>{8 + n}</volumeSize><tagSet><item><key>Name</key><value>snapshotId&gt;snap-0</value></item></tagSet></item>\n")


def created(volumes):
    return '<?xml version="1.0" encoding="UTF-8"?>\n<CreateSnapshotsResponse><requestId>r</requestId><snapshotSet>\n' + "".join(
        item(n, v) for n, v in enumerate(volumes, 1)) + "</snapshotSet></CreateSnapshotsResponse>"


def refusal(code, text):
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{text}</Message></Error></Errors><RequestID>r</RequestID></Response>'


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def note(self, line):
        with open(HOME / "log", "a") as log:
            log.write(line + "\n")

    def reply(self, status, text):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_PUT(self):
        self.note(f"PUT {self.path}")
        if "no-metadata" in mode() or not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
            return self.reply(403, "")
        return self.reply(200, TOKEN)

    def do_GET(self):
        self.note(f"GET {self.path}")
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            return self.reply(401, "")
        path = self.path.split("/latest/meta-data/", 1)[1]
        hours = -1 if "expired" in mode() else 6
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
        facts = {
            "instance-id": "i-0123456789abcdef0", "placement/region": "eu-central-1", "services/domain": "amazonaws.com",
            "iam/security-credentials/": "role-of-mine", "iam/security-credentials/role-of-mine":
            '{\n  "Code" : "Success",\n  "AccessKeyId" : "ASIAPLANTEDKEY",\n  "SecretAccessKey" : "planted/secret+key",\n'
            f'  "Token" : "planted//session+token==",\n  "Expiration" : "{until:%Y-%m-%dT%H:%M:%SZ}"\n}}',
        }
        if path not in facts or ("no-role" in mode() and path.startswith("iam/")):
            return self.reply(404, "")
        return self.reply(200, facts[path])

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = dict(urllib.parse.parse_qsl(body))
        missing = []
        signed = self.headers.get("Authorization", "")
        if not re.fullmatch(r"AWS4-HMAC-SHA256 Credential=ASIAPLANTEDKEY/\d{8}/eu-central-1/ec2/aws4_request, ?SignedHeaders=[a-z0-9;-]*host[a-z0-9;-]*, ?Signature=[0-9a-f]{64}", signed):
            missing.append("signature")
        names = re.search(r"SignedHeaders=([a-z0-9;-]*)", signed)
        absent = [name for name in (names[1].split(";") if names else []) if name not in self.headers]
        if absent:
            missing.append("signed-" + "-".join(absent))
        if self.headers.get("X-Amz-Security-Token") != "planted//session+token==":
            missing.append("token")
        tags = {form[f"TagSpecification.1.Tag.{n}.Key"]: form[f"TagSpecification.1.Tag.{n}.Value"] for n in range(1, 10) if f"TagSpecification.1.Tag.{n}.Key" in form}
        wanted = {"freezeframe:job", "freezeframe:level", "freezeframe:recipe", "freezeframe:instance",
                  # A volume that was restored with its snapshot's tags must not lend these.
                  "freezeframe:set-size", "freezeframe:frozen-ms"}
        left_out = "leave-out" in mode()
        excluded = [value for name, value in sorted(form.items()) if name.startswith("InstanceSpecification.ExcludeDataVolumeId.")]
        if set(tags) != wanted or {tags[f"freezeframe:{key}"] for key in ("level", "set-size", "frozen-ms")} != {"pending"} or form.get("CopyTagsFromSource") != (None if left_out else "volume") \
                or excluded != (["vol-0aaaaaaaaaaaaaaa2", "vol-0aaaaaaaaaaaaaaa9"] if left_out else []) \
                or form.get("InstanceSpecification.ExcludeBootVolume") != ("true" if left_out else "false") or form.get("InstanceSpecification.InstanceId") != "i-0123456789abcdef0":
            missing.append("form")
        dry = form.get("DryRun") == "true"
        self.note(f"{'DRY' if dry else 'CALL'} {form.get('Action')} {tags.get('freezeframe:job')} recipe={tags.get('freezeframe:recipe')} missing={','.join(missing) or 'nothing'}")
        return self.create(dry)

    def create(self, dry):
        how = mode()
        if "refused" in how:
            return self.reply(403, refusal("UnauthorizedOperation", 'You are not authorized to perform this operation. &lt;"x\\y"&gt;'))
        if dry:
            return self.reply(412, refusal("DryRunOperation", "Request would have succeeded, but DryRun flag is set."))
        if "throttled" in how:
            return self.reply(503, refusal("RequestLimitExceeded", "Request limit exceeded."))
        if "broken" in how:
            return self.reply(500, refusal("InternalError", "An internal error has occurred"))
        if "lost" in how:
            # It happened, but nobody hears of it.
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        for word in how:
            if word.startswith("slow="):
                time.sleep(float(word[5:]))
        return self.reply(200, created(VOLUMES[:2] if "partial" in how else VOLUMES))


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
(HOME / "port.new").write_text(str(server.server_address[1]))
(HOME / "port.new").rename(HOME / "port")
server.serve_forever()
