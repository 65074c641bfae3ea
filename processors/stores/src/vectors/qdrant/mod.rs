//! Vectors in Qdrant, over gRPC.
//!
//! **One collection**, named by its models and their dimensions, behind an alias. A unit is one point with a text
//! vector, a picture vector and a sparse vector of its words, so that it is written, replaced and removed whole:
//! in two collections a crash could leave one half in the newer revision. The tenant is a payload index that says
//! so to Qdrant, and every search keeps to it.
//!
//! **Revisions.** An upsert is conditional: Qdrant itself leaves a point alone that has a newer revision, whoever
//! else writes at the same moment. A file's floor is a point of its own, raised by the same condition. A new point
//! has no condition that could hold it back, so whoever writes looks at the floors before and after, and removes
//! what lies below; a search leaves out what lies below the floor, so that not even what a killed writer left is
//! ever found.
//!
//! **Which collection** the alias stands for is asked at every write and every search: a rebuild may switch it at
//! any time, and what was written to the old one before the switch is in the log before it too.
//!
//! **A server that is down** keeps nobody from starting: what has to be there before the first call, a version that is
//! new enough and a collection behind the alias, is seen to by the first call that gets through.

mod calls;
mod collections;
mod floors;
mod names;
mod notes;
mod points;
mod search;
mod sparse;
mod write;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use frameline_runtime::secret::Secret;
use frameline_schemas::Embedding;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{Counts, Floor, Hit, Query, Stored, Vectors, VectorsError, check_point, check_query, stored};
use calls::Calls;
use names::Names;

/// Where Qdrant is, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QdrantSettings {
    /// Of its gRPC port: `http://host:6334`, or `https`.
    pub url: String,
    /// What it lets us in by.
    pub api_key: Option<Secret>,
    /// The alias that stands for the live collection; the names of collections begin with it.
    pub alias: String,
    /// How long a call may take.
    pub timeout: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How many nodes keep each part of a collection that is made.
    pub replication: u32,
}

/// By which models the vectors are: of others they cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    /// Of texts.
    pub text: String,
    /// Of pictures.
    pub image: String,
}

/// An index in Qdrant. Clones share the connection.
#[derive(Clone)]
pub struct QdrantVectors {
    calls: Calls,
    names: Names,
    models: Models,
    target: Target,
    replication: u32,
    /// Set once the server was found as it has to be.
    met: Arc<OnceCell<()>>,
}

#[derive(Debug, Clone)]
enum Target {
    /// Whatever the alias stands for.
    Live,
    /// This collection, whether the alias stands for it or not.
    Collection(String),
}

impl QdrantVectors {
    /// An index on a server that is not asked for anything yet.
    pub fn new(settings: &QdrantSettings, models: Models) -> Result<Self, VectorsError> {
        Ok(Self {
            calls: Calls::new(settings)?,
            names: Names::new(&settings.alias, &models),
            models,
            target: Target::Live,
            replication: settings.replication,
            met: Arc::default(),
        })
    }

    /// The same, with the server met.
    pub async fn open(settings: &QdrantSettings, models: Models) -> Result<Self, VectorsError> {
        let vectors = Self::new(settings, models)?;
        vectors.meet().await?;
        Ok(vectors)
    }

    /// Looks whether the server is one that we can work with, and makes the collection and its alias where they are
    /// missing. Does so once; every call that needs it does it first.
    async fn meet(&self) -> Result<(), VectorsError> {
        let meet = async || {
            self.calls.check_version().await?;
            let alias = self.names.alias();
            match collections::live(&self.calls, alias).await? {
                Some(live) if self.names.is_of_alias(&live) => Ok(()),
                Some(live) => Err(VectorsError::Refused(format!(
                    "the alias {alias} at {} stands for {live}, which frameline did not make: set vectors.alias to \
                     another name",
                    self.calls.place()
                ))),
                None => {
                    let first = self.names.collection(1);
                    collections::create(&self.calls, &first, self.replication).await?;
                    collections::switch(&self.calls, alias, &first).await
                }
            }
        };
        self.met.get_or_try_init(meet).await.copied()
    }

    /// Qdrant's own version, as it says.
    pub async fn version(&self) -> Result<String, VectorsError> {
        self.calls.version().await
    }

    /// The collection that the alias stands for, whatever its models.
    pub async fn live(&self) -> Result<String, VectorsError> {
        self.meet().await?;
        let alias = self.names.alias();
        let gone = || VectorsError::Unavailable(format!("{}: the alias {alias} is gone", self.calls.place()));
        collections::live(&self.calls, alias).await?.ok_or_else(gone)
    }

    /// Whether the live collection is by the models of this program.
    pub async fn is_by_our_models(&self) -> Result<bool, VectorsError> {
        Ok(self.names.generation(&self.live().await?).is_some())
    }

    /// Whether a unit's vectors, where it has any, are by the models of this index.
    pub fn takes(&self, point: &Embedding) -> bool {
        self.check_models(point).is_ok()
    }

    /// The collection that a rebuild fills: the one that an earlier rebuild began, else a name that is free.
    pub async fn next(&self) -> Result<Next, VectorsError> {
        let live = self.names.generation(&self.live().await?).unwrap_or(0);
        let known = collections::all(&self.calls).await?;
        let newest = known.iter().filter_map(|name| self.names.generation(name)).max().unwrap_or(0);
        let generation = newest.max(live + 1);
        Ok(Next { collection: self.names.collection(generation), is_begun: newest > live })
    }

    /// An index over this collection, made where it is missing, and completed where somebody was stopped while he made
    /// it; the alias goes on standing for the live one.
    pub async fn beside(&self, collection: &str, replication: u32) -> Result<Self, VectorsError> {
        collections::create(&self.calls, collection, replication).await?;
        Ok(self.over(collection))
    }

    /// An index over this collection, which is there; nothing is made or changed.
    pub fn over(&self, collection: &str) -> Self {
        Self { target: Target::Collection(collection.to_owned()), ..self.clone() }
    }

    /// From now on the alias stands for this collection.
    pub async fn switch(&self, collection: &str) -> Result<(), VectorsError> {
        collections::switch(&self.calls, self.names.alias(), collection).await
    }

    /// What whoever fills this collection noted there last.
    pub async fn note(&self) -> Result<Option<String>, VectorsError> {
        notes::read(&self.calls, &self.collection().await?).await
    }

    /// Notes it, in place of what was noted before.
    pub async fn set_note(&self, text: &str) -> Result<(), VectorsError> {
        notes::write(&self.calls, &self.collection().await?, text).await
    }

    /// How many files have ended, deleted ones among them.
    pub async fn ended(&self) -> Result<u64, VectorsError> {
        floors::count(&self.calls, &self.collection().await?).await
    }

    /// Removes a collection and all that is in it.
    pub async fn remove(&self, collection: &str) -> Result<(), VectorsError> {
        collections::remove(&self.calls, collection).await
    }

    async fn collection(&self) -> Result<String, VectorsError> {
        match &self.target {
            Target::Collection(name) => Ok(name.clone()),
            Target::Live => self.live().await,
        }
    }

    /// The collection, where it is by our models.
    async fn collection_of_ours(&self) -> Result<String, VectorsError> {
        let collection = self.collection().await?;
        match self.names.generation(&collection) {
            Some(_) => Ok(collection),
            None => Err(VectorsError::OtherModel(format!(
                "the collection {collection} is not by the models {} and {}",
                self.models.text, self.models.image
            ))),
        }
    }

    fn check_models(&self, point: &Embedding) -> Result<(), VectorsError> {
        let sides = [(&point.text_vector, &self.models.text), (&point.image_vector, &self.models.image)];
        for (vector, model) in sides {
            if let Some(vector) = vector.as_ref().filter(|vector| vector.model != *model) {
                let text = format!("unit {} has a vector by {}, the index is by {model}", point.unit_id, vector.model);
                return Err(VectorsError::OtherModel(text));
            }
        }
        Ok(())
    }
}

/// What a rebuild fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Its name.
    pub collection: String,
    /// Whether an earlier rebuild has made it.
    pub is_begun: bool,
}

#[async_trait]
impl Vectors for QdrantVectors {
    async fn upsert(&self, points: &[Embedding]) -> Result<(), VectorsError> {
        points.iter().try_for_each(check_point)?;
        points.iter().try_for_each(|point| self.check_models(point))?;
        let collection = self.collection_of_ours().await?;
        write::upsert(&self.calls, &collection, points).await
    }

    async fn finish(&self, ends: &[(Uuid, Floor)]) -> Result<u64, VectorsError> {
        let collection = self.collection().await?;
        floors::raise(&self.calls, &collection, ends).await
    }

    async fn floors(&self, files: &[Uuid]) -> Result<Vec<Option<Floor>>, VectorsError> {
        let collection = self.collection().await?;
        let floors = floors::read(&self.calls, &collection, files).await?;
        Ok(files.iter().map(|file_id| floors.get(file_id).copied()).collect())
    }

    async fn search(&self, query: &Query) -> Result<Vec<Hit>, VectorsError> {
        check_query(query)?;
        let collection = self.collection_of_ours().await?;
        search::search(&self.calls, &collection, query).await
    }

    async fn counts(&self) -> Result<Counts, VectorsError> {
        collections::counts(&self.calls, &self.collection().await?).await
    }

    async fn dump(&self) -> Result<Vec<Stored>, VectorsError> {
        let points = collections::dump(&self.calls, &self.collection().await?).await?;
        Ok(points.iter().map(stored).collect())
    }
}
