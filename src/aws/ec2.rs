//! EC2: reading the fleet, and the few calls that change it.

use crate::domain::state::InstanceState;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use aws_sdk_ec2::types as sdk;

use super::convert;
use super::error::problem;
use super::pace::Token;
use super::pages::all_pages;
use super::session::Session;
use crate::domain::ids::{InstanceId, JobId, SnapshotId, VolumeId};
use crate::domain::instance::Instance;
use crate::domain::inventory::Image;
use crate::domain::pace::Bucket;
use crate::domain::problem::{Kind, Problem};
use crate::domain::restore::RestoreItem;
use crate::domain::set_plan::CreateCall;
use crate::domain::snapshot::Snapshot;
use crate::domain::tags::{self, Tags};
use crate::domain::volume::Volume;

/// Rows asked for per page (aws-facts 8.2: up to 1,000; without a limit the smaller token bucket applies).
const PAGE: i32 = 500;
/// Ids per describe call.
const IDS: usize = 200;

fn filter(name: &str, values: impl IntoIterator<Item = String>) -> sdk::Filter {
    sdk::Filter::builder()
        .name(name)
        .set_values(Some(values.into_iter().collect()))
        .build()
}

fn tag_list(tags: &Tags) -> Vec<sdk::Tag> {
    tags.iter()
        .map(|(key, value)| sdk::Tag::builder().key(key).value(value).build())
        .collect()
}

fn specification(kind: sdk::ResourceType, tags: &Tags) -> sdk::TagSpecification {
    sdk::TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(tag_list(tags)))
        .build()
}

/// The one request that makes a set: every volume of the instance, root included, the volumes' own tags and these.
fn create_snapshots(
    client: &aws_sdk_ec2::Client,
    instance: &InstanceId,
    description: &str,
    call: &CreateCall,
) -> aws_sdk_ec2::operation::create_snapshots::builders::CreateSnapshotsFluentBuilder {
    client
        .create_snapshots()
        .instance_specification(
            sdk::InstanceSpecification::builder()
                .instance_id(instance.as_str())
                .exclude_boot_volume(call.exclude_root)
                .set_exclude_data_volume_ids(
                    Some(call.exclude_data.iter().map(ToString::to_string).collect())
                        .filter(|ids: &Vec<String>| !ids.is_empty()),
                )
                .build(),
        )
        .description(description)
        .set_copy_tags_from_source(call.copy_tags.then_some(sdk::CopyTagsFromSource::Volume))
        .tag_specifications(specification(sdk::ResourceType::Snapshot, &call.tags))
}

impl Session {
    fn where_(&self, what: &str) -> String {
        format!("{what} of {}", self.scope())
    }

    /// Every instance but terminated ones; agents are still unknown.
    ///
    /// # Errors
    /// Whatever the first failing page answered.
    pub async fn instances(&self) -> Result<Vec<Instance>, Problem> {
        let what = self.where_("read instances");
        let mut rows = self.instances_that(&what, &[]).await?;
        rows.retain(|i| i.state != InstanceState::Terminated);
        rows.sort_by(|a, b| a.name().cmp(b.name()).then_with(|| a.id.cmp(&b.id)));
        Ok(rows)
    }

    /// Instances that pass all these filters.
    async fn instances_that(
        &self,
        what: &str,
        filters: &[sdk::Filter],
    ) -> Result<Vec<Instance>, Problem> {
        all_pages(what, move |token| async move {
            self.pace.take(Bucket::DescribeInstances).await;
            let out = self
                .ec2
                .describe_instances()
                .set_filters(Some(filters.to_vec()).filter(|f| !f.is_empty()))
                .max_results(PAGE)
                .set_next_token(token)
                .send()
                .await
                .map_err(|e| problem(what, &e))?;
            let rows = out
                .reservations()
                .iter()
                .flat_map(|r| r.instances())
                .filter_map(|i| convert::instance(self.scope(), i))
                .collect();
            Ok((rows, out.next_token().map(str::to_owned)))
        })
        .await
    }

    /// Lists every volume of the region.
    ///
    /// # Errors
    /// Whatever the first failing page answered.
    pub async fn volumes(&self) -> Result<Vec<Volume>, Problem> {
        let what = &self.where_("read volumes");
        let mut rows = all_pages(what, move |token| async move {
            self.pace.take(Bucket::DescribeVolumes).await;
            let out = self
                .ec2
                .describe_volumes()
                .max_results(PAGE)
                .set_next_token(token)
                .send()
                .await
                .map_err(|e| problem(what, &e))?;
            let rows = out
                .volumes()
                .iter()
                .filter_map(|v| convert::volume(self.scope(), v))
                .collect();
            Ok((rows, out.next_token().map(str::to_owned)))
        })
        .await?;
        rows.sort_by(|a: &Volume, b| a.id.cmp(&b.id));
        Ok(rows)
    }

    /// Every snapshot that this account owns (never the public ones) with the images that hold some,
    /// newest first.
    ///
    /// # Errors
    /// Whatever the first failing page answered.
    pub async fn snapshots(&self) -> Result<(Vec<Snapshot>, Vec<Image>), Problem> {
        let what = &self.where_("read snapshots");
        let (snapshots, images) =
            tokio::join!(self.list_snapshots(what, Vec::new()), self.images());
        let (mut snapshots, images) = (snapshots?, images?);
        convert::hold_by_images(&mut snapshots, &images);
        snapshots.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| a.id.cmp(&b.id)));
        Ok((snapshots, images))
    }

    async fn list_snapshots(
        &self,
        what: &str,
        filters: Vec<sdk::Filter>,
    ) -> Result<Vec<Snapshot>, Problem> {
        let filters = &filters;
        all_pages(what, move |token| async move {
            self.pace.take(Bucket::DescribeSnapshots).await;
            let out = self
                .ec2
                .describe_snapshots()
                .owner_ids("self")
                .set_filters(Some(filters.clone()).filter(|f| !f.is_empty()))
                .max_results(PAGE)
                .set_next_token(token)
                .send()
                .await
                .map_err(|e| problem(what, &e))?;
            let rows = out
                .snapshots()
                .iter()
                .filter_map(|s| convert::snapshot(self.scope(), s))
                .collect();
            Ok((rows, out.next_token().map(str::to_owned)))
        })
        .await
    }

    async fn images(&self) -> Result<Vec<Image>, Problem> {
        let what = &self.where_("read images");
        all_pages(what, move |token| async move {
            let out = self
                .ec2
                .describe_images()
                .owners("self")
                .include_disabled(true)
                .include_deprecated(true)
                .max_results(PAGE)
                .set_next_token(token)
                .send()
                .await
                .map_err(|e| problem(what, &e))?;
            let rows = out.images().iter().filter_map(convert::image).collect();
            Ok((rows, out.next_token().map(str::to_owned)))
        })
        .await
    }

    /// Snapshots that a job made, found by its tag; copies that carry its tags are none. The way to learn whether a lost reply had happened.
    ///
    /// # Errors
    /// Whatever the first failing page answered.
    pub async fn snapshots_of_job(&self, job: &JobId) -> Result<Vec<Snapshot>, Problem> {
        let what = format!("look for the snapshots of job {job}");
        let of = filter(&format!("tag:{}", tags::JOB), [job.to_string()]);
        let mut found = self.list_snapshots(&what, vec![of]).await?;
        found.retain(|snapshot| snapshot.copied_from().is_none());
        Ok(found)
    }

    /// The snapshots of each of these jobs, found by its tag, without copies; a job that has none is missing from the answer.
    ///
    /// # Errors
    /// Whatever the first failing page answered.
    pub async fn snapshots_of_jobs(
        &self,
        jobs: &[JobId],
    ) -> Result<HashMap<JobId, Vec<Snapshot>>, Problem> {
        let mut found: HashMap<JobId, Vec<Snapshot>> = HashMap::new();
        for chunk in jobs.chunks(IDS) {
            let what = format!("read the snapshots of {} sets", chunk.len());
            let of = filter(
                &format!("tag:{}", tags::JOB),
                chunk.iter().map(ToString::to_string),
            );
            for snapshot in self.list_snapshots(&what, vec![of]).await? {
                if let Some(job) = snapshot.job().filter(|_| snapshot.copied_from().is_none()) {
                    found.entry(job).or_default().push(snapshot);
                }
            }
        }
        Ok(found)
    }

    /// These snapshots as they are now; one that is gone is missing from the answer.
    ///
    /// # Errors
    /// Whatever the first failing call answered.
    pub async fn snapshots_by_id(&self, ids: &[SnapshotId]) -> Result<Vec<Snapshot>, Problem> {
        let mut rows = Vec::new();
        for chunk in ids.chunks(IDS) {
            let what = format!("read {} snapshots", chunk.len());
            // A filter, not an id list: unknown ids are left out instead of failing the call.
            rows.extend(
                self.list_snapshots(
                    &what,
                    vec![filter("snapshot-id", chunk.iter().map(ToString::to_string))],
                )
                .await?,
            );
        }
        Ok(rows)
    }

    /// Ids of locked snapshots, and of those enabled for fast restore.
    ///
    /// # Errors
    /// Whatever the first failing page answered.
    pub async fn held_snapshots(
        &self,
    ) -> Result<(HashSet<SnapshotId>, HashSet<SnapshotId>), Problem> {
        let what = &self.where_("read snapshot locks");
        let locked = all_pages(what, move |token| async move {
            let out = self
                .ec2
                .describe_locked_snapshots()
                .max_results(PAGE)
                .set_next_token(token)
                .send()
                .await
                .map_err(|e| problem(what, &e))?;
            let rows = out
                .snapshots()
                .iter()
                .filter(|s| {
                    s.lock_state()
                        .is_none_or(|state| state.as_str() != "expired")
                })
                .filter_map(|s| s.snapshot_id().map(SnapshotId::from_api))
                .collect();
            Ok((rows, out.next_token().map(str::to_owned)))
        })
        .await?;
        let what = &self.where_("read fast snapshot restores");
        let fast = all_pages(what, move |token| async move {
            let out = self
                .ec2
                .describe_fast_snapshot_restores()
                .max_results(200)
                .set_next_token(token)
                .send()
                .await
                .map_err(|e| problem(what, &e))?;
            let rows = out
                .fast_snapshot_restores()
                .iter()
                .filter(|s| s.state().is_none_or(|state| state.as_str() != "disabled"))
                .filter_map(|s| s.snapshot_id().map(SnapshotId::from_api))
                .collect();
            Ok((rows, out.next_token().map(str::to_owned)))
        })
        .await?;
        Ok((locked.into_iter().collect(), fast.into_iter().collect()))
    }

    /// With whom a snapshot of ours is shared: account ids, or `all`.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn shared_with(&self, id: &SnapshotId) -> Result<Vec<String>, Problem> {
        self.pace.take(Bucket::DescribeSnapshotAttribute).await;
        let out = self
            .ec2
            .describe_snapshot_attribute()
            .snapshot_id(id.as_str())
            .attribute(sdk::SnapshotAttributeName::CreateVolumePermission)
            .send()
            .await
            .map_err(|e| problem(&format!("read with whom {id} is shared"), &e))?;
        Ok(out
            .create_volume_permissions()
            .iter()
            .filter_map(|p| {
                p.user_id()
                    .or_else(|| p.group().map(sdk::PermissionGroup::as_str))
                    .map(str::to_owned)
            })
            .collect())
    }

    /// Snapshots of ours that everybody may restore.
    ///
    /// # Errors
    /// Whatever the first failing page answered.
    pub async fn public_snapshots(&self) -> Result<HashSet<SnapshotId>, Problem> {
        let what = &self.where_("read public snapshots");
        let rows = all_pages(what, move |token| async move {
            let out = self
                .ec2
                .describe_snapshots()
                .owner_ids("self")
                .restorable_by_user_ids("all")
                .max_results(PAGE)
                .set_next_token(token)
                .send()
                .await
                .map_err(|e| problem(what, &e))?;
            let rows = out
                .snapshots()
                .iter()
                .filter_map(|s| s.snapshot_id().map(SnapshotId::from_api))
                .collect();
            Ok((rows, out.next_token().map(str::to_owned)))
        })
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// One call for every volume of the instance, root included, that it does not leave out.
    /// One attempt: a repeated call would make a second set. It waits for nothing: its token
    /// ([`Bucket::CreateSnapshots`]) was taken before anything was frozen.
    ///
    /// # Errors
    /// With `may_have_happened` when no answer came: look for the job's tag before anything else.
    pub async fn create_snapshots(
        &self,
        instance: &InstanceId,
        description: &str,
        call: &CreateCall,
    ) -> Result<Vec<(SnapshotId, VolumeId, u32)>, Problem> {
        let what = format!("create snapshots of {instance}");
        let out = create_snapshots(&self.ec2_once, instance, description, call)
            .send()
            .await
            .map_err(|e| problem(&what, &e));
        self.allowed.learn(&out);
        let out = self.pace.learn(Bucket::CreateSnapshots, out)?;
        let made: Vec<(SnapshotId, VolumeId, u32)> = out
            .snapshots()
            .iter()
            .filter_map(|s| {
                Some((
                    SnapshotId::from_api(s.snapshot_id()?),
                    VolumeId::from_api(s.volume_id()?),
                    s.volume_size()
                        .and_then(|n| u32::try_from(n).ok())
                        .unwrap_or(0),
                ))
            })
            .collect();
        self.pace
            .asked_for(made.iter().map(|(_, volume, _)| volume));
        Ok(made)
    }

    /// Asks EC2 whether it would carry out [`Self::create_snapshots`] with these: its `DryRun`, which changes nothing and
    /// counts against the same limit, so it waits for `token`. `kind` is what EC2's answer may depend on: a yes to one of
    /// a kind is believed of all for some minutes.
    ///
    /// # Errors
    /// What EC2 would refuse it for, or whatever else it answered.
    pub async fn may_create_snapshots(
        &self,
        token: impl Future<Output = Token>,
        instance: &InstanceId,
        description: &str,
        call: &CreateCall,
        kind: &str,
    ) -> Result<(), Problem> {
        let what = format!("ask EC2 whether it would create snapshots of {instance}");
        let ask = async {
            token.await.spend();
            let out = create_snapshots(&self.ec2, instance, description, call)
                .dry_run(true)
                .send()
                .await
                .map_err(|e| problem(&what, &e));
            match self.pace.learn(Bucket::CreateSnapshots, out) {
                Err(p) if p.code.as_deref() == Some("DryRunOperation") => Ok(()),
                Err(p) => Err(p),
                Ok(_) => Err(Problem::new(
                    Kind::Malformed,
                    &what,
                    "the answer to a dry run is that of a call",
                    "check that the endpoint really is AWS or the lab",
                )),
            }
        };
        self.allowed.or_ask(kind, ask).await
    }

    /// Snapshots of these volumes that are not completed, and those that were begun in the minute of `now`
    /// or the one before: what decides whether EC2 takes another one now (aws-facts 4.4).
    ///
    /// # Errors
    /// Whatever the first failing page answered.
    pub async fn fresh_snapshots(
        &self,
        volumes: &[VolumeId],
        now: DateTime<Utc>,
    ) -> Result<Vec<Snapshot>, Problem> {
        let minutes: Vec<String> = [TimeDelta::zero(), TimeDelta::minutes(1)]
            .iter()
            .map(|back| (now - *back).format("%Y-%m-%dT%H:%M*").to_string())
            .collect();
        let mut rows = Vec::new();
        // Values of all filters of a call count together.
        for chunk in volumes.chunks(IDS / 2) {
            let what = format!("read the newest snapshots of {} volumes", chunk.len());
            let of = || filter("volume-id", chunk.iter().map(ToString::to_string));
            let (open, begun) = tokio::join!(
                self.list_snapshots(
                    &what,
                    vec![of(), filter("status", ["pending".into(), "error".into()])]
                ),
                self.list_snapshots(&what, vec![of(), filter("start-time", minutes.clone())]),
            );
            rows.extend(open?);
            rows.extend(begun?);
        }
        rows.sort_by(|a: &Snapshot, b| a.id.cmp(&b.id));
        rows.dedup_by(|a, b| a.id == b.id);
        Ok(rows)
    }

    /// Sets tags; repeating it does no harm, so the reading client's retries apply.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn set_tags(&self, resource: &str, tags: &Tags) -> Result<(), Problem> {
        let token = self.pace.set_aside(Bucket::CreateTags).await;
        self.set_tags_with(token, resource, tags).await
    }

    /// As [`Self::set_tags`], at once, with a token that was set aside for it.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn set_tags_with(
        &self,
        token: Token,
        resource: &str,
        tags: &Tags,
    ) -> Result<(), Problem> {
        token.spend();
        self.ec2
            .create_tags()
            .resources(resource)
            .set_tags(Some(tag_list(tags)))
            .send()
            .await
            .map(drop)
            .map_err(|e| problem(&format!("tag {resource}"), &e))
    }

    /// Deletes a snapshot, with a token that was set aside for it. One that is gone already counts as deleted
    /// (aws-facts 4.5).
    ///
    /// # Errors
    /// Whatever AWS answered, such as `InvalidSnapshot.InUse`.
    pub async fn delete_snapshot(&self, token: Token, id: &SnapshotId) -> Result<(), Problem> {
        token.spend();
        let answer = self
            .ec2_once
            .delete_snapshot()
            .snapshot_id(id.as_str())
            .send()
            .await;
        let answer = answer.map_err(|e| problem(&format!("delete {id}"), &e));
        match self.pace.learn(Bucket::DeleteSnapshot, answer) {
            Err(p) if p.code.as_deref() == Some("InvalidSnapshot.NotFound") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Asks EC2 by its dry run whether it would delete a snapshot.
    ///
    /// # Errors
    /// Whatever AWS would refuse it for.
    pub async fn may_delete_snapshot(&self, token: Token, id: &SnapshotId) -> Result<(), Problem> {
        token.spend();
        let asked = self
            .ec2
            .delete_snapshot()
            .snapshot_id(id.as_str())
            .dry_run(true)
            .send()
            .await;
        let asked =
            asked.map_err(|e| problem(&format!("ask EC2 whether it would delete {id}"), &e));
        match self.pace.learn(Bucket::DeleteSnapshot, asked) {
            Err(p) if p.code.as_deref() == Some("DryRunOperation") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Makes a volume of a plan's item. The item's client token makes a repeated call harmless.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn create_volume(&self, item: &RestoreItem) -> Result<VolumeId, Problem> {
        let what = format!("create a volume from {}", item.snapshot);
        let number = |n: Option<u32>| n.and_then(|n| i32::try_from(n).ok());
        let out = self
            .ec2
            .create_volume()
            .availability_zone(&item.zone)
            .snapshot_id(item.snapshot.as_str())
            .set_size(number(Some(item.size_gib)))
            .volume_type(sdk::VolumeType::from(item.volume_type.as_str()))
            .set_iops(number(item.iops))
            .set_throughput(number(item.throughput))
            .set_encrypted(item.encrypt.then_some(true))
            .set_kms_key_id(item.kms_key.clone())
            .client_token(&item.client_token)
            .tag_specifications(specification(sdk::ResourceType::Volume, &item.tags))
            .send()
            .await
            .map_err(|e| problem(&what, &e))?;
        out.volume_id().map(VolumeId::from_api).ok_or_else(|| {
            Problem::new(
                Kind::Malformed,
                &what,
                "the answer names no volume",
                "look for a volume tagged with this restore before trying again",
            )
        })
    }

    /// Attaches a volume. One attempt; look at the volume when no answer came.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn attach_volume(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &str,
    ) -> Result<(), Problem> {
        self.ec2_once
            .attach_volume()
            .volume_id(volume.as_str())
            .instance_id(instance.as_str())
            .device(device)
            .send()
            .await
            .map(drop)
            .map_err(|e| problem(&format!("attach {volume} to {instance} as {device}"), &e))
    }

    /// These volumes as they are now, by id; one that is not visible (yet) is missing.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn volumes_by_id(
        &self,
        ids: &[VolumeId],
    ) -> Result<HashMap<VolumeId, Volume>, Problem> {
        let what = format!("read {} volumes", ids.len());
        self.pace.take(Bucket::DescribeVolumes).await;
        let out = self
            .ec2
            .describe_volumes()
            .filters(filter("volume-id", ids.iter().map(ToString::to_string)))
            .max_results(PAGE)
            .send()
            .await
            .map_err(|e| problem(&what, &e))?;
        Ok(out
            .volumes()
            .iter()
            .filter_map(|v| convert::volume(self.scope(), v))
            .map(|v| (v.id.clone(), v))
            .collect())
    }

    /// Running instances that carry this tag with this value.
    ///
    /// # Errors
    /// Whatever the first failing page answered.
    pub async fn running_with_tag(
        &self,
        key: &str,
        value: &str,
    ) -> Result<Vec<InstanceId>, Problem> {
        let what = format!("read the instances tagged {key}={value}");
        let filters = [
            filter(&format!("tag:{key}"), [value.to_owned()]),
            filter("instance-state-name", ["running".to_owned()]),
        ];
        let mut found = self.instances_that(&what, &filters).await?;
        // Stars and question marks are EC2's wildcards: what it shows is only a selection.
        found.retain(|i| i.tags.get(key) == Some(value));
        Ok(found.into_iter().map(|i| i.id).collect())
    }

    /// One instance as it is now.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it does not exist in this account and region.
    pub async fn instance(&self, id: &InstanceId) -> Result<Instance, Problem> {
        let what = format!("read {id}");
        self.pace.take(Bucket::DescribeInstances).await;
        let out = self
            .ec2
            .describe_instances()
            .instance_ids(id.as_str())
            .send()
            .await
            .map_err(|e| problem(&what, &e))?;
        out.reservations()
            .iter()
            .flat_map(|r| r.instances())
            .find_map(|i| convert::instance(self.scope(), i))
            .ok_or_else(|| {
                Problem::new(
                    Kind::NotFound,
                    &what,
                    format!("there is no such instance in {}", self.scope()),
                    "check the id, the account (--profile) and the region (--region)",
                )
            })
    }
}
