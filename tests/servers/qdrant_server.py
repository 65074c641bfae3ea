"""Qdrant for tests: its engine (qdrant-edge-py) behind its gRPC API (grpcio, the services of qdrant-client).

    python qdrant_server.py --dir DIR [--port PORT]

It listens on the loopback, prints `READY PORT`, and ends on SIGTERM. One directory a collection: the shard, and
beside it the request that made it. What it acknowledged survives `kill -9`. From the engine itself: dense and
sparse vectors, filters, conditional upserts, payload indexes. Emulated: the list of collections, aliases,
authentication. Not there: groups, snapshots, shard keys, and calls that Frameline does not make.

It fails when told to: while DIR/faults.json is there, calls go wrong as it says,

    {"fail": "UNAVAILABLE", "delay_ms": 200, "calls": ["Upsert", "UpdateBatch"], "share": 0.5, "after": false}

`fail` is any status of gRPC (UNAVAILABLE, INTERNAL, RESOURCE_EXHAUSTED ...), or null to delay only; `calls` limits
it to these, by default all; `share` is the share of the calls that it meets, by default 1; `after` fails when the
work is done already, as a lost answer does.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import signal
import threading
import time
import uuid

import grpc
import qdrant_edge as edge
from qdrant_client import grpc as api
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest as FromGrpc
from qdrant_client.conversions.conversion import RestToGrpc as ToGrpc
from qdrant_conversion import (
    Refused,
    config_of,
    filter_in,
    filter_of,
    id_of,
    index_of,
    payload_in,
    query_of,
    record,
    scored,
    told_id,
    vector_of,
    vectors_in,
)

VERSION = "1.17.0"
LARGEST_MESSAGE_BYTES = 64 << 20


class NotFound(Exception):
    """There is no such collection."""


# --- What is kept.


class Collection:
    """A shard of the engine. Writers stand in line, as its log of writes has one order."""

    def __init__(self, path, spec=None):
        self.path = path
        if spec is None:
            self.spec = api.CreateCollection.FromString((path / "spec").read_bytes())
            self.shard = edge.EdgeShard.load(str(path / "shard"))
        else:
            self.spec = spec
            (path / "shard").mkdir(parents=True)
            self.shard = edge.EdgeShard.create(str(path / "shard"), config_of(spec))
            write_whole(path / "spec", spec.SerializeToString())
        self.operations = 0
        self.lock = threading.Lock()

    def update(self, operation):
        with self.lock:
            self.shard.update(operation)
            self.operations += 1
            return api.UpdateResult(operation_id=self.operations, status=api.UpdateStatus.Completed)


class Store:
    """All collections and aliases."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.collections = {}
        for path in sorted(each for each in self.root.iterdir() if each.is_dir()):
            if (path / "spec").exists():
                self.collections[path.name] = Collection(path)
            else:
                shutil.rmtree(path)
        aliases = self.root / "aliases.json"
        self.aliases = json.loads(aliases.read_text()) if aliases.exists() else {}

    def get(self, name):
        with self.lock:
            found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise NotFound(f"Not found: Collection `{name}` doesn't exist!")
        return found

    def set_aliases(self, aliases):
        self.aliases = aliases
        write_whole(self.root / "aliases.json", json.dumps(aliases).encode())


def write_whole(path, content):
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    os.replace(fresh, path)


# --- Calls, and how they fail when told to.


class Faults:
    """What DIR/faults.json says just now."""

    def __init__(self, root):
        self.path = pathlib.Path(root) / "faults.json"

    def of(self, call):
        try:
            fault = json.loads(self.path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        is_met = call in fault.get("calls", [call]) and random.random() < fault.get("share", 1)
        return fault if is_met else None


def answered(method):
    """The method as a call of gRPC: its faults, and its errors as statuses."""

    def call(self, request, context):
        fault = self.faults.of(method.__name__) or {}
        time.sleep(fault.get("delay_ms", 0) / 1000)
        fail = fault.get("fail") and getattr(grpc.StatusCode, fault["fail"])
        if fail and not fault.get("after"):
            context.abort(fail, "told to fail")
        began = time.time()
        try:
            answer = method(self, request)
        except NotFound as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except (Refused, ValueError, KeyError, TypeError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Wrong input: {error}")
        except Exception as error:  # The engine raises nothing more exact.
            context.abort(grpc.StatusCode.INTERNAL, f"Service internal error: {error}")
        if fail:
            context.abort(fail, "told to fail, with the work done")
        answer.time = time.time() - began
        return answer

    return call


class Collections(api.CollectionsServicer):
    def __init__(self, store, faults):
        self.store, self.faults = store, faults

    @answered
    def Create(self, request):
        name, store = request.collection_name, self.store
        with store.lock:
            if name in store.collections or name in store.aliases:
                raise Refused(f"Collection `{name}` already exists!")
            store.collections[name] = Collection(store.root / name, request)
        return api.CollectionOperationResponse(result=True)

    @answered
    def Delete(self, request):
        name, store = request.collection_name, self.store
        with store.lock:
            found = store.collections.pop(name, None)
            if found is not None:
                store.set_aliases({alias: each for alias, each in store.aliases.items() if each != name})
                with found.lock:
                    found.shard.close()
                    shutil.rmtree(found.path)
        return api.CollectionOperationResponse(result=found is not None)

    @answered
    def List(self, request):
        names = sorted(self.store.collections)
        return api.ListCollectionsResponse(collections=[api.CollectionDescription(name=name) for name in names])

    @answered
    def CollectionExists(self, request):
        with self.store.lock:
            name = self.store.aliases.get(request.collection_name, request.collection_name)
            exists = name in self.store.collections
        return api.CollectionExistsResponse(result=api.CollectionExists(exists=exists))

    @answered
    def UpdateAliases(self, request):
        """All actions of a request together, as Qdrant does it."""
        with self.store.lock:
            aliases = dict(self.store.aliases)
            for action in request.actions:
                if action.WhichOneof("action") == "create_alias":
                    if action.create_alias.collection_name not in self.store.collections:
                        raise NotFound(action.create_alias.collection_name)
                    aliases[action.create_alias.alias_name] = action.create_alias.collection_name
                elif action.WhichOneof("action") == "delete_alias":
                    aliases.pop(action.delete_alias.alias_name, None)
                else:
                    raise Refused("renaming an alias")
            self.store.set_aliases(aliases)
        return api.CollectionOperationResponse(result=True)

    @answered
    def ListAliases(self, request):
        aliases = sorted(self.store.aliases.items())
        told = [api.AliasDescription(alias_name=alias, collection_name=name) for alias, name in aliases]
        return api.ListAliasesResponse(aliases=told)


class Points(api.PointsServicer):
    def __init__(self, store, faults):
        self.store, self.faults = store, faults

    def upsert(self, collection, points, change):
        points = [FromGrpc.convert_point_struct(point) for point in points]
        ids = [point.id if isinstance(point.id, int) else uuid.UUID(str(point.id)) for point in points]
        rows = [edge.Point(i, vector_of(point.vector), point.payload) for i, point in zip(ids, points)]
        return collection.update(
            edge.UpdateOperation.upsert_points(rows, condition=filter_in(change, "update_filter"))
        )

    def delete(self, collection, selector):
        if selector.HasField("points"):
            ids = [id_of(each) for each in selector.points.ids]
            return collection.update(edge.UpdateOperation.delete_points(ids))
        found = filter_of(FromGrpc.convert_filter(selector.filter))
        return collection.update(edge.UpdateOperation.delete_points_by_filter(found))

    @answered
    def Upsert(self, request):
        result = self.upsert(self.store.get(request.collection_name), request.points, request)
        return api.PointsOperationResponse(result=result)

    @answered
    def Delete(self, request):
        result = self.delete(self.store.get(request.collection_name), request.points)
        return api.PointsOperationResponse(result=result)

    @answered
    def UpdateBatch(self, request):
        collection = self.store.get(request.collection_name)
        results = []
        for operation in request.operations:
            if operation.HasField("upsert"):
                results.append(self.upsert(collection, operation.upsert.points, operation.upsert))
            elif operation.HasField("delete_points"):
                results.append(self.delete(collection, operation.delete_points.points))
            else:
                raise Refused(f"operation {operation.WhichOneof('operation')}")
        return api.UpdateBatchResponse(result=results)

    @answered
    def CreateFieldIndex(self, request):
        operation = edge.UpdateOperation.create_field_index(request.field_name, index_of(request))
        return api.PointsOperationResponse(result=self.store.get(request.collection_name).update(operation))

    @answered
    def Get(self, request):
        shard = self.store.get(request.collection_name).shard
        found = shard.retrieve([id_of(each) for each in request.ids], payload_in(request), vectors_in(request))
        return api.GetResponse(result=[record(each) for each in found])

    @answered
    def QueryBatch(self, request):
        shard = self.store.get(request.collection_name).shard
        answers = [shard.query(query_of(each)) for each in request.query_points]
        return api.QueryBatchResponse(
            result=[api.BatchResult(result=[scored(point) for point in points]) for points in answers]
        )

    @answered
    def Scroll(self, request):
        shard = self.store.get(request.collection_name).shard
        offset = id_of(request.offset) if request.HasField("offset") else None
        wanted = edge.ScrollRequest(
            offset=offset,
            limit=request.limit if request.HasField("limit") else 10,
            filter=filter_in(request),
            with_payload=payload_in(request),
            with_vector=vectors_in(request),
        )
        found, following = shard.scroll(wanted)
        answer = api.ScrollResponse(result=[record(each) for each in found])
        if following is not None:
            answer.next_page_offset.CopyFrom(ToGrpc.convert_extended_point_id(told_id(following)))
        return answer

    @answered
    def Count(self, request):
        exact = request.exact if request.HasField("exact") else True
        wanted = edge.CountRequest(exact=exact, filter=filter_in(request))
        count = self.store.get(request.collection_name).shard.count(wanted)
        return api.CountResponse(result=api.CountResult(count=count))

    @answered
    def Facet(self, request):
        limit = request.limit if request.HasField("limit") else 10
        wanted = edge.FacetRequest(request.key, limit=limit, exact=request.exact, filter=filter_in(request))
        hits = self.store.get(request.collection_name).shard.facet(wanted).hits
        told = [models.FacetValueHit(value=str(hit.value), count=hit.count) for hit in hits]
        return api.FacetResponse(hits=[ToGrpc.convert_facet_value_hit(hit) for hit in told])


class Health(api.QdrantServicer):
    def HealthCheck(self, request, context):
        return api.HealthCheckReply(title="qdrant for tests", version=VERSION)


class Keys(grpc.ServerInterceptor):
    """Turns away whoever does not send the key, as Qdrant does."""

    def __init__(self, key):
        self.key = key

    def intercept_service(self, continuation, details):
        if not self.key or ("api-key", self.key) in details.invocation_metadata:
            return continuation(details)

        def refuse(request, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Must provide an API key or an Authorization bearer token")

        return grpc.unary_unary_rpc_method_handler(refuse)


def serve(folder, port, key):
    store, faults = Store(folder), Faults(folder)
    sizes = ["grpc.max_receive_message_length", "grpc.max_send_message_length"]
    options = [(size, LARGEST_MESSAGE_BYTES) for size in sizes] + [("grpc.so_reuseport", 0)]
    workers = concurrent.futures.ThreadPoolExecutor(8)
    server = grpc.server(workers, options=options, interceptors=[Keys(key)])
    api.add_CollectionsServicer_to_server(Collections(store, faults), server)
    api.add_PointsServicer_to_server(Points(store, faults), server)
    api.add_QdrantServicer_to_server(Health(), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(1))
    print("READY", bound, flush=True)
    server.wait_for_termination()
    # Without this a second process finds the shards locked.
    workers.shutdown()
    for collection in store.collections.values():
        collection.shard.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Qdrant for tests")
    arguments.add_argument("--dir", required=True)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--key", default="", help="the API key that callers must send")
    given = arguments.parse_args()
    serve(given.dir, given.port, given.key)
