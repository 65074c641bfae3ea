"""What the client of Qdrant's gRPC API sends, as its engine (qdrant-edge-py) takes it, and back; for qdrant_server.py."""

import uuid

import qdrant_edge as edge
from qdrant_client import grpc as api
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest as FromGrpc
from qdrant_client.conversions.conversion import RestToGrpc as ToGrpc


class Refused(Exception):
    """The request cannot be done."""


def id_of(point_id):
    value = FromGrpc.convert_point_id(point_id)
    return value if isinstance(value, int) else uuid.UUID(str(value))


def told_id(point_id):
    return point_id if isinstance(point_id, int) else str(point_id)


def vector_of(value):
    if isinstance(value, models.SparseVector):
        return edge.SparseVector(value.indices, value.values)
    if isinstance(value, dict):
        return {name: vector_of(each) for name, each in value.items()}
    return {} if value is None else value


def told_vector(value):
    if isinstance(value, edge.SparseVector):
        return models.SparseVector(indices=list(value.indices), values=list(value.values))
    if isinstance(value, dict):
        return {name: told_vector(each) for name, each in value.items()}
    return value


def match_of(match):
    if isinstance(match, models.MatchValue):
        return edge.MatchValue(match.value)
    if isinstance(match, models.MatchAny):
        return edge.MatchAny(list(match.any))
    raise Refused(f"match {match!r}")


def condition_of(condition):
    if isinstance(condition, models.Filter):
        return filter_of(condition)
    if isinstance(condition, models.HasIdCondition):
        return edge.HasIdCondition({each if isinstance(each, int) else uuid.UUID(str(each)) for each in condition.has_id})
    if not isinstance(condition, models.FieldCondition):
        raise Refused(f"condition {condition!r}")
    if condition.match is not None:
        return edge.FieldCondition(condition.key, match=match_of(condition.match))
    if condition.range is not None:
        bounds = {bound: getattr(condition.range, bound) for bound in ("gte", "gt", "lte", "lt")}
        return edge.FieldCondition(condition.key, range=edge.RangeFloat(**bounds))
    raise Refused(f"condition {condition!r}")


def filter_of(found):
    if found is None:
        return None

    def conditions(value):
        if value is None:
            return None
        return [condition_of(each) for each in (value if isinstance(value, list) else [value])]

    return edge.Filter(
        must=conditions(found.must), should=conditions(found.should), must_not=conditions(found.must_not)
    )


def filter_in(request, field="filter"):
    return filter_of(FromGrpc.convert_filter(getattr(request, field))) if request.HasField(field) else None


def payload_in(request):
    if not request.HasField("with_payload"):
        return False
    selector = FromGrpc.convert_with_payload_selector(request.with_payload)
    if isinstance(selector, models.PayloadSelectorInclude):
        return edge.PayloadSelector.Include(selector.include)
    return selector


def vectors_in(request):
    return FromGrpc.convert_with_vectors_selector(request.with_vectors) if request.HasField("with_vectors") else False


DISTANCES = {
    models.Distance.COSINE: edge.Distance.Cosine,
    models.Distance.DOT: edge.Distance.Dot,
    models.Distance.EUCLID: edge.Distance.Euclid,
    models.Distance.MANHATTAN: edge.Distance.Manhattan,
}


def config_of(spec):
    dense = FromGrpc.convert_vectors_config(spec.vectors_config)
    if not isinstance(dense, dict):
        raise Refused("vectors without a name")
    dense = {name: edge.EdgeVectorParams(each.size, DISTANCES[each.distance]) for name, each in dense.items()}
    sparse = {
        name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if each.modifier == api.Modifier.Idf else None)
        for name, each in spec.sparse_vectors_config.map.items()
    }
    return edge.EdgeConfig(vectors=dense, sparse_vectors=sparse or None)


FIELD_TYPES = {
    api.FieldTypeKeyword: "Keyword",
    api.FieldTypeInteger: "Integer",
    api.FieldTypeUuid: "Uuid",
    api.FieldTypeBool: "Bool",
}


def index_of(request):
    params = FromGrpc.convert_payload_schema_params(request.field_index_params) if request.HasField("field_index_params") else None
    if isinstance(params, models.KeywordIndexParams):
        return edge.KeywordIndexParams(is_tenant=params.is_tenant)
    if isinstance(params, models.UuidIndexParams):
        return edge.UuidIndexParams(is_tenant=params.is_tenant)
    if request.field_type not in FIELD_TYPES or params is not None:
        raise Refused(f"index on {request.field_name}")
    return getattr(edge.PayloadSchemaType, FIELD_TYPES[request.field_type])


def query_of(request):
    query = FromGrpc.convert_query(request.query) if request.HasField("query") else None
    using = request.using if request.HasField("using") else None
    if query is not None and not isinstance(query, models.NearestQuery):
        raise Refused(f"query {type(query).__name__}")
    return edge.QueryRequest(
        limit=request.limit if request.HasField("limit") else 10,
        query=None if query is None else edge.Query.Nearest(vector_of(query.nearest), using=using),
        filter=filter_in(request),
        with_payload=payload_in(request),
        with_vector=vectors_in(request),
    )


def record(found):
    told = models.Record(id=told_id(found.id), payload=found.payload, vector=told_vector(found.vector))
    return ToGrpc.convert_record(told)


def scored(found):
    told = models.ScoredPoint(
        id=told_id(found.id),
        version=found.version,
        score=found.score,
        payload=found.payload,
        vector=told_vector(found.vector),
    )
    return ToGrpc.convert_scored_point(told)
